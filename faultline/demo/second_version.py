"""The second version, trained and rolled in while live readings stream on."""

from __future__ import annotations

from collections.abc import Callable

from faultline.client import Job, PredictorClient, TrainerClient
from faultline.demo.report import ReloadReport
from faultline.demo.rollout import Rollout
from faultline.demo.scenario import Scenario
from faultline.events import model_name
from faultline.ports.clock import Clock


class SecondVersion:
    """Asks for it when the live readings have come far enough, and counts what is sent meanwhile.

    Parameters
    ----------
    stored
        Whether all is stored that had been sent when this was asked for the first time.
    patience_s
        How long that is waited for; then it is trained on what is there.
    """

    def __init__(
        self,
        scenario: Scenario,
        first_version: str,
        *,
        trainer: TrainerClient,
        predictor: PredictorClient,
        stored: Callable[[], bool],
        clock: Clock,
        patience_s: float = 60.0,
    ) -> None:
        self._scenario = scenario
        self._first_version = first_version
        self._trainer = trainer
        self._stored = stored
        self._clock = clock
        self._patience_s = patience_s
        self._rollout = Rollout(
            scenario.machine_type,
            due=self._due,
            ask=self._ask,
            trainer=trainer,
            predictor=predictor,
            clock=clock,
        )
        self._come_to_ms = 0
        self._due_since_s: float | None = None
        self._sent_when_asked: int | None = None
        self._sent_meanwhile = 0

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be expected: it judges, or it will not come."""
        return self._rollout.settled

    @property
    def report(self) -> ReloadReport:
        """How it went; of a version that never came in, nothing was sent meanwhile."""
        rollout = self._rollout
        asked_for = rollout.job.model_version if rollout.job is not None else None
        return ReloadReport(
            model_name=model_name(self._scenario.machine_type),
            from_version=self._first_version,
            to_version=asked_for or "none",
            readings_sent_meanwhile=self._sent_meanwhile if rollout.live_version else 0,
            seconds_to_reload=round(rollout.seconds_to_reload, 2),
        )

    def advance(self, come_to_ms: int, sent: int) -> str | None:
        """Do what is due; returns what has just happened, in words.

        Parameters
        ----------
        come_to_ms
            How far the live readings have come, milliseconds since the epoch.
        sent
            How many of them.
        """
        self._come_to_ms = come_to_ms
        was_settled = self.settled
        news = self._rollout.advance()
        if self._rollout.job is not None and self._sent_when_asked is None:
            self._sent_when_asked = sent
        if self.settled and not was_settled and self._sent_when_asked is not None:
            self._sent_meanwhile = sent - self._sent_when_asked
            if self._rollout.live_version:
                return f"{news}; {self._sent_meanwhile:,} readings were sent meanwhile"
        return news

    def _due(self) -> bool:
        if self._come_to_ms < self._scenario.train_at_ms:
            return False
        now_s = self._clock.monotonic_s()
        if self._due_since_s is None:
            self._due_since_s = now_s
        return self._stored() or now_s - self._due_since_s >= self._patience_s

    def _ask(self) -> Job:
        return self._trainer.train(
            self._scenario.machine_type,
            end_ms=self._scenario.train_at_ms,
            excluded=self._scenario.excluded,
            requested_by="demo",
        )
