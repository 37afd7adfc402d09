"""A version on its way: asked for when it is due, followed until the predictor judges by it.

Never waits, so that whoever drives it can look after other things as well.
"""

from __future__ import annotations

from collections.abc import Callable

from faultline.client import Job, PredictorClient, TrainerClient
from faultline.demo.waiting import Stalled
from faultline.ports.clock import Clock

_TRAINING_S = 300.0
_RELOAD_S = 60.0
# Asking the services more often would only take from what they are doing.
_ASK_EVERY_S = 0.25


class Rollout:
    """One version of one machine type.

    Parameters
    ----------
    due
        Whether it is time to ask for it.
    ask
        Asks for it.
    """

    def __init__(
        self,
        machine_type: str,
        *,
        due: Callable[[], bool],
        ask: Callable[[], Job],
        trainer: TrainerClient,
        predictor: PredictorClient,
        clock: Clock,
    ) -> None:
        self._machine_type = machine_type
        self._due = due
        self._ask = ask
        self._trainer = trainer
        self._predictor = predictor
        self._clock = clock
        self._asked_s = self._ended_s = self._next_s = 0.0
        self.job: Job | None = None
        self.live_version: str | None = None
        self.seconds_to_reload = 0.0
        self.settled = False

    def advance(self) -> str | None:
        """Do what is due; returns what has just happened, in words.

        Afterwards `job` is the training as it stands; `settled` says that nothing more is to be
        expected; `live_version` is set once the predictor judges by it, `seconds_to_reload` after
        the end of the training.

        Raises
        ------
        Stalled
            When the training does not end.
        """
        now_s = self._clock.monotonic_s()
        if self.settled or now_s < self._next_s:
            return None
        self._next_s = now_s + _ASK_EVERY_S
        if self.job is None:
            return self._begin(now_s)
        if not self.job.final:
            return self._follow(self.job, now_s)
        return self._look(self.job, now_s)

    def _begin(self, now_s: float) -> str | None:
        if not self._due():
            return None
        self.job = self._ask()
        self._asked_s = now_s
        return f"{self._machine_type}: training a version on all until now"

    def _follow(self, job: Job, now_s: float) -> str | None:
        before = (job.state, job.progress)
        self.job = job = self._trainer.job(job.job_id)
        if now_s - self._asked_s > _TRAINING_S:
            raise Stalled(
                f"the training of {self._machine_type} is still {job.state} after {_TRAINING_S:g} s"
            )
        if not job.final:
            moved = (job.state, job.progress) != before
            return f"{self._machine_type}: {job.progress}" if moved else None
        self._ended_s = now_s
        if not job.promoted:
            self.settled = True
        return outcome_sentence(self._machine_type, job)

    def _look(self, job: Job, now_s: float) -> str | None:
        live = self._predictor.live_version(self._machine_type)
        if live is None or live != job.model_version:
            if now_s - self._ended_s <= _RELOAD_S:
                return None
            self.settled = True
            return (
                f"{self._machine_type}: the predictor still judges by version {live} after "
                f"{_RELOAD_S:g} s"
            )
        self.live_version = live
        self.seconds_to_reload = now_s - self._ended_s
        self.settled = True
        return f"{self._machine_type}: the predictor judges by version {live}"


def outcome_sentence(machine_type: str, job: Job) -> str:
    """Say what came of a training that has ended."""
    if not job.promoted:
        return f"{machine_type}: no version in Production: {job.error or job.decision or job.state}"
    return f"{machine_type}: version {job.model_version} is in Production ({job.decision})"
