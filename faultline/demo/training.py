"""A training on its way: asked for when it is due, followed to its end. Never waits."""

from __future__ import annotations

from collections.abc import Callable

from faultline.client import Job, TrainerClient
from faultline.demo.waiting import Stalled
from faultline.ports.clock import Clock

_TRAINING_S = 300.0
# Asking the trainer more often would only take from what it is doing.
_ASK_EVERY_S = 0.25


class Training:
    """One training of one machine type.

    Parameters
    ----------
    due
        Whether it is time to ask for it.
    ask
        Asks for it.
    what
        What is trained, in words.
    """

    def __init__(
        self,
        machine_type: str,
        *,
        due: Callable[[], bool],
        ask: Callable[[], Job],
        trainer: TrainerClient,
        clock: Clock,
        what: str = "a version on all until now",
    ) -> None:
        self._machine_type = machine_type
        self._due = due
        self._ask = ask
        self._trainer = trainer
        self._clock = clock
        self._what = what
        self._asked_s = self._next_s = 0.0
        self.job: Job | None = None

    @property
    def ended(self) -> Job | None:
        """The job once nothing more will happen to it; None before."""
        return self.job if self.job is not None and self.job.final else None

    def advance(self) -> str | None:
        """Do what is due; returns what has just happened, in words.

        Raises
        ------
        Stalled
            When the training does not end.
        """
        now_s = self._clock.monotonic_s()
        if self.ended is not None or now_s < self._next_s:
            return None
        self._next_s = now_s + _ASK_EVERY_S
        return self._begin(now_s) if self.job is None else self._follow(self.job, now_s)

    def _begin(self, now_s: float) -> str | None:
        if not self._due():
            return None
        self.job = self._ask()
        self._asked_s = now_s
        return f"{self._machine_type}: training {self._what}"

    def _follow(self, job: Job, now_s: float) -> str | None:
        self.job = now = self._trainer.job(job.job_id)
        if now_s - self._asked_s > _TRAINING_S:
            raise Stalled(
                f"the training of {self._machine_type} is still {now.state} after {_TRAINING_S:g} s"
            )
        if now.final or not now.progress or now.progress == job.progress:
            return None
        return f"{self._machine_type}: {now.progress}"
