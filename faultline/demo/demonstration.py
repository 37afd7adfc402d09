"""The demonstration itself: the steps from a stack that has just started to all that was observed.

It uses the stack from outside, and decides nothing about what should have come out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from faultline.client import Job
from faultline.demo.conclusion import conclude
from faultline.demo.feed import Feed
from faultline.demo.host_fault import HostFault
from faultline.demo.ledger import Ledger
from faultline.demo.lifecycle import RollbackReport
from faultline.demo.live_part import LiveOutcome, LivePart
from faultline.demo.narrator import Narrator
from faultline.demo.observation import Way
from faultline.demo.parts import Parts
from faultline.demo.playback import Playback
from faultline.demo.report import Observed, ThroughputReport, machines_counted
from faultline.demo.rollout import outcome_sentence
from faultline.demo.scenario import Scenario
from faultline.demo.undoing import change_sentence, roll_back
from faultline.demo.waiting import Stalled, wait_until
from faultline.errors import FaultlineError
from faultline.ports.clock import Clock
from faultline.sources.host import HOST_TYPE

_TRAINING_S = 300.0


class NoFirstVersion(FaultlineError):
    """Without a first version there is nothing to show; the text says why there is none."""


class Demonstration:
    """One run.

    Parameters
    ----------
    host
        The feed that has been watching this machine since the start.
    host_id
        This machine's id.
    patience_s
        How long nothing may move while readings are on their way.
    """

    def __init__(
        self,
        scenario: Scenario,
        parts: Parts,
        *,
        host: Feed,
        host_id: str,
        narrator: Narrator,
        clock: Clock,
        patience_s: float = 60.0,
    ) -> None:
        self._scenario = scenario
        self._parts = parts
        self._host = host
        self._host_id = host_id
        self._narrator = narrator
        self._clock = clock
        self._patience_s = patience_s
        self._ledger = Ledger(parts.store)
        self._playback = Playback(scenario, parts.http, parts.topic, clock)
        self._live_part = LivePart(
            scenario,
            parts,
            self._playback,
            self._ledger,
            host=host,
            narrator=narrator,
            clock=clock,
            patience_s=patience_s,
        )
        self._before_first_version_ms: dict[str, int] = {}

    def run(self, host_fault: HostFault) -> Observed:
        """Go through all steps.

        Raises
        ------
        FaultlineError
            When a step cannot be done at all; what merely goes wrong is for the expectations.
        """
        say = self._narrator
        with say.step(f"Send the history of {self._scenario.machine_type} at full speed"):
            throughput = self._send_history()
        with say.step(f"Train, gate and promote version 1 of {self._scenario.machine_type}"):
            first_version = self._train_first()
        with say.step(
            f"Play the live part, {self._scenario.speed:,.0f} times as fast, with its faults"
        ):
            live = self._live_part.play(first_version, host_fault)
            self._ledger.add(live.sent)
            self._before_first_version_ms[self._host_id] = live.host_before_version_ms
        with say.step("Wait until everything is stored and judged"):
            self._settle()
        with say.step(f"Roll {self._scenario.machine_type} back, with a reason"):
            rollback = self._roll_back()
        with say.step("Read what came of it, and recompute the verdicts offline"):
            return self._observe(throughput, live, rollback, host_fault)

    def _send_history(self) -> ThroughputReport:
        feeds = self._playback.history()
        # Sent, stored and judged overlap; each is asked for until it is there.
        reached: Mapping[str, Callable[[], bool]] = {
            "sent": lambda: not feeds.running,
            "stored": lambda: self._ledger.stored(feeds.sent),
            "judged": lambda: self._ledger.judged(feeds.sent),
        }
        took_s: dict[str, float] = {}
        begin_s = self._clock.monotonic_s()
        feeds.start()
        try:
            for what, done in reached.items():
                self._wait(done, f"the history to be {what}", lambda: feeds.sent)
                took_s[what] = self._clock.monotonic_s() - begin_s
        finally:
            feeds.stop()
        self._ledger.add(feeds.sent)
        self._before_first_version_ms.update(feeds.last_ms)
        readings = feeds.sent.total()
        self._narrator.say(f"{readings:,} readings of {machines_counted(len(feeds.sent))}")
        return ThroughputReport(
            readings=readings,
            sent_per_s=round(readings / took_s["sent"], 1),
            stored_per_s=round(readings / took_s["stored"], 1),
            judged_per_s=round(readings / took_s["judged"], 1),
        )

    def _train_first(self) -> str:
        """Train the scenario's type; returns the version, once the predictor judges by it."""
        machine_type = self._scenario.machine_type
        trainer, predictor = self._parts.trainer, self._parts.predictor

        def tell(job: Job) -> None:
            if job.progress and not job.final:
                self._narrator.say(f"{machine_type}: {job.progress}")

        asked = trainer.train(machine_type, requested_by="demo")
        job = trainer.wait(asked.job_id, tell, _TRAINING_S)
        told = outcome_sentence(machine_type, job)
        version = job.model_version
        if not job.promoted or version is None:
            raise NoFirstVersion(told)
        self._narrator.say(told)
        wait_until(
            lambda: predictor.live_version(machine_type) == version,
            f"the predictor to judge by version {version}",
            self._clock,
        )
        return version

    def _settle(self) -> None:
        self._host.stop()
        self._ledger.add(self._host.sent)
        sent = self._ledger.sent
        try:
            self._wait(
                lambda: self._ledger.stored(sent) and self._ledger.judged(sent),
                "everything to be stored and judged",
                lambda: sent,
            )
        except Stalled as error:
            # What is missing, and of which machine, is for the report to say.
            self._narrator.say(str(error))

    def _roll_back(self) -> RollbackReport:
        report = roll_back(
            self._scenario.machine_type,
            trainer=self._parts.trainer,
            predictor=self._parts.predictor,
            clock=self._clock,
        )
        for change in reversed(report.history):
            self._narrator.say(change_sentence(change))
        return report

    def _observe(
        self,
        throughput: ThroughputReport,
        live: LiveOutcome,
        rollback: RollbackReport,
        host_fault: HostFault,
    ) -> Observed:
        return conclude(
            self._scenario,
            self._parts.store,
            self._parts.open_registry(),
            ways={machine_id: self._way(machine_id) for machine_id in self._ledger.sent},
            host_fault=host_fault,
            throughput=throughput,
            live=live,
            rollback=rollback,
        )

    def _way(self, machine_id: str) -> Way:
        is_host = machine_id == self._host_id
        return Way(
            machine_type=HOST_TYPE if is_host else self._scenario.machine_type,
            by_http=machine_id in self._scenario.by_http,
            sent=self._ledger.sent[machine_id],
            sent_before_first_version_ms=self._before_first_version_ms.get(machine_id, -1),
        )

    def _wait(
        self, done: Callable[[], bool], what: str, sent: Callable[[], Mapping[str, int]]
    ) -> None:
        wait_until(
            done,
            what,
            self._clock,
            progress=lambda: self._ledger.standing(sent()),
            patience_s=self._patience_s,
        )
