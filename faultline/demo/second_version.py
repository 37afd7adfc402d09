"""The second version: trained, shown in the shadow and promoted while live readings stream on.

Never waits, so that whoever drives it can look after other things as well.
"""

from __future__ import annotations

from collections.abc import Callable

from faultline.client import Comparison, Job, PredictorClient, TrainerClient
from faultline.demo.heard import HeardVerdicts
from faultline.demo.lifecycle import ReloadReport
from faultline.demo.report import NO_VERSION
from faultline.demo.scenario import Scenario
from faultline.demo.shadow import comparison_sentence
from faultline.demo.training import Training
from faultline.errors import Conflict, NotFound
from faultline.events import model_name
from faultline.ports.clock import Clock

PROMOTION_REASON = "the demonstration: it did well in the shadow"
_ENOUGH_READINGS = 500
_SHADOW_S = 30.0
_RELOAD_S = 60.0
_ASK_EVERY_S = 0.25


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
        heard: HeardVerdicts,
        stored: Callable[[], bool],
        clock: Clock,
        patience_s: float = 60.0,
    ) -> None:
        self._scenario = scenario
        self._name = model_name(scenario.machine_type)
        self._first_version = first_version
        self._trainer = trainer
        self._predictor = predictor
        self._heard = heard
        self._stored = stored
        self._clock = clock
        self._patience_s = patience_s
        self._training = Training(
            scenario.machine_type, due=self._due, ask=self._ask, trainer=trainer, clock=clock
        )
        self._come_to_ms = self._sent = 0
        self._due_since_s: float | None = None
        self._sent_when_asked: int | None = None
        self._sent_meanwhile = 0
        self._shadow_since_s = self._next_s = 0.0
        self._promoted_s: float | None = None
        self._seconds_to_first_verdict: float | None = None
        self.comparison: Comparison | None = None
        self.settled = False
        """Whether nothing more is to be expected: it judges, or it will not come."""

    @property
    def trained(self) -> bool:
        """Whether its training has ended."""
        return self._training.ended is not None

    @property
    def version(self) -> str:
        """Its number; `NO_VERSION` as long as it has none."""
        job = self._training.job
        return (job.model_version if job is not None else None) or NO_VERSION

    def report(self) -> ReloadReport:
        """How it went; of a version that never came in, nothing was sent meanwhile."""
        return ReloadReport(
            model_name=self._name,
            from_version=self._first_version,
            to_version=self.version,
            readings_sent_meanwhile=self._sent_meanwhile,
            seconds_to_first_verdict=self._seconds_to_first_verdict,
            readings_by_two_versions=self._heard.by_two_versions(),
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
        self._come_to_ms, self._sent = come_to_ms, sent
        if self.settled:
            return None
        if not self.trained:
            return self._train()
        now_s = self._clock.monotonic_s()
        if self._promoted_s is not None:
            return self._listen(now_s, self._promoted_s)
        if now_s < self._next_s:
            return None
        self._next_s = now_s + _ASK_EVERY_S
        return self._compare(now_s)

    def _train(self) -> str | None:
        news = self._training.advance()
        if self._training.job is not None and self._sent_when_asked is None:
            self._sent_when_asked = self._sent
        job = self._training.ended
        if job is None:
            return news
        self._shadow_since_s = self._clock.monotonic_s()
        self.settled = job.model_version is None
        return self._told(job.decision or job.error or str(job.state))

    def _compare(self, now_s: float) -> str | None:
        late = now_s - self._shadow_since_s > _SHADOW_S
        try:
            found = self._predictor.comparison(self._scenario.machine_type, self.version)
        except NotFound:
            found = None
        if not late and (found is None or found.readings < _ENOUGH_READINGS):
            return None
        self.comparison = found
        told = "not compared in the shadow" if found is None else comparison_sentence(found)
        try:
            self._trainer.promote(
                self._name, self.version, reason=PROMOTION_REASON, requested_by="demo"
            )
        except Conflict as refusal:
            self.settled = True
            return self._told(f"{told}; not promoted: {refusal}")
        self._promoted_s = self._clock.monotonic_s()
        return self._told(f"{told}; promoted")

    def _listen(self, now_s: float, promoted_s: float) -> str | None:
        first_s = self._heard.first_s(self._name, self.version)
        if first_s is None:
            if now_s - promoted_s <= _RELOAD_S:
                return None
            self.settled = True
            return self._told(f"no verdict by version {self.version} within {_RELOAD_S:g} s")
        # The predictor may be quicker than the trainer's answer.
        self._seconds_to_first_verdict = round(max(0.0, first_s - promoted_s), 3)
        self._sent_meanwhile = self._sent - (self._sent_when_asked or 0)
        self.settled = True
        return self._told(
            f"first verdict by version {self.version} {self._seconds_to_first_verdict:.2f} s after "
            f"the promotion; {self._sent_meanwhile:,} readings were sent since it was asked for"
        )

    def _told(self, news: str) -> str:
        return f"{self._scenario.machine_type}: {news}"

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
            promotion="hold",
            requested_by="demo",
        )
