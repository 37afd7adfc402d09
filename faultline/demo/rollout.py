"""A version that comes in by itself: trained, promoted by the gate, and judged by.

Never waits, so that whoever drives it can look after other things as well.
"""

from __future__ import annotations

from faultline.client import Job, PredictorClient
from faultline.demo.training import Training
from faultline.ports.clock import Clock

_RELOAD_S = 60.0


class Rollout:
    """One version of one machine type."""

    def __init__(
        self, machine_type: str, training: Training, predictor: PredictorClient, clock: Clock
    ) -> None:
        self._machine_type = machine_type
        self._training = training
        self._predictor = predictor
        self._clock = clock
        self._ended_s: float | None = None
        self.live_version: str | None = None
        self.settled = False

    def advance(self) -> str | None:
        """Do what is due; returns what has just happened, in words.

        Afterwards `settled` says that nothing more is to be expected; `live_version` is set once
        the predictor judges by it.

        Raises
        ------
        Stalled
            When the training does not end.
        """
        if self.settled:
            return None
        job = self._training.ended
        if job is not None and self._ended_s is not None:
            return self._look(job, self._clock.monotonic_s() - self._ended_s)
        news = self._training.advance()
        job = self._training.ended
        if job is None:
            return news
        self._ended_s = self._clock.monotonic_s()
        self.settled = not job.promoted
        return outcome_sentence(self._machine_type, job)

    def _look(self, job: Job, since_s: float) -> str | None:
        live = self._predictor.live_version(self._machine_type)
        if live is None or live != job.model_version:
            self.settled = since_s > _RELOAD_S
            return (
                f"{self._machine_type}: the predictor still judges by version {live} after "
                f"{_RELOAD_S:g} s"
                if self.settled
                else None
            )
        self.live_version = live
        self.settled = True
        return f"{self._machine_type}: the predictor judges by version {live}"


def outcome_sentence(machine_type: str, job: Job) -> str:
    """Say what came of a training that has ended."""
    if not job.promoted:
        return f"{machine_type}: no version in Production: {job.error or job.decision or job.state}"
    return f"{machine_type}: version {job.model_version} is in Production ({job.decision})"
