"""A candidate that is worse than what is in Production, trained to be refused."""

from __future__ import annotations

from faultline.client import Job, PredictorClient, TrainerClient
from faultline.demo.lifecycle import RefusalReport
from faultline.demo.report import NO_VERSION
from faultline.demo.scenario import Scenario
from faultline.demo.training import Training
from faultline.events import model_name
from faultline.ports.clock import Clock


class WorseCandidate:
    """Asks at once for a version that is blind beside the one in Production.

    It looks at half of the sensors only, of a little of one machine's history. By itself it is as
    good as any: what it misses shows beside a version that looks at all of them.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        trainer: TrainerClient,
        predictor: PredictorClient,
        clock: Clock,
    ) -> None:
        self._scenario = scenario
        self._trainer = trainer
        self._predictor = predictor
        known = sorted(next(scenario.history()).sensors)
        self._sensors = known[: max(1, len(known) // 2)]
        self._training = Training(
            scenario.machine_type,
            due=lambda: True,
            ask=self._ask,
            trainer=trainer,
            clock=clock,
            what=f"a worse candidate, which looks at {', '.join(self._sensors)} only",
        )
        self.report: RefusalReport | None = None

    @property
    def settled(self) -> bool:
        """Whether the gate has spoken, or the training has failed."""
        return self.report is not None

    def advance(self) -> str | None:
        """Do what is due; returns what has just happened, in words.

        Raises
        ------
        Stalled
            When the training does not end.
        """
        if self.settled:
            return None
        news = self._training.advance()
        job = self._training.ended
        if job is None:
            return news
        machine_type = self._scenario.machine_type
        self.report = report = _report(
            job, self._trainer, model_name(machine_type), self._predictor.live_version(machine_type)
        )
        return (
            f"{machine_type}: version {report.version} is {report.gate}: {report.reason}; "
            f"version {report.production} stays in Production"
        )

    def _ask(self) -> Job:
        return self._trainer.train(
            self._scenario.machine_type,
            start_ms=self._scenario.last_quarter_ms,
            end_ms=self._scenario.live_start_ms,
            machines=self._scenario.machine_ids[:1],
            sensors=self._sensors,
            requested_by="demo",
        )


def _report(job: Job, trainer: TrainerClient, name: str, live: str | None) -> RefusalReport:
    versions = trainer.versions(name)
    made = next((one for one in versions if one["version"] == job.model_version), {})
    return RefusalReport(
        version=job.model_version or NO_VERSION,
        gate=made.get("gate") or "not judged",
        reason=made.get("gate_reason") or job.error or "",
        production=in_production(trainer, name),
        judging=live or NO_VERSION,
    )


def in_production(trainer: TrainerClient, name: str) -> str:
    """The version of a model in Production, or `NO_VERSION`."""
    live = (one["version"] for one in trainer.versions(name) if "production" in one["aliases"])
    return next(live, NO_VERSION)
