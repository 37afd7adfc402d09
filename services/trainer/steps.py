"""The steps of a job: what is done again while a dependency is down, and what may be cut off."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from faultline.errors import Unavailable
from faultline.ports.clock import Clock
from services.trainer.interruption import interruptible

_MOST_PAUSES = 32
_T = TypeVar("_T")


class Holding(Protocol):
    """Our hold on the job; see `services.trainer.lease.Lease`. Both end the job by raising."""

    def tell(self, progress: str) -> None:
        """Say what is being done now."""

    def confirm(self) -> None:
        """Make sure that the job is still ours."""


class Steps:
    """Does the steps of one job.

    Parameters
    ----------
    retry_s
        Before a step is tried again, while a dependency is down; from then on twice as long every
        time, up to 32 times.
    """

    def __init__(self, holding: Holding, clock: Clock, retry_s: float) -> None:
        self._holding = holding
        self._clock = clock
        self._retry_s = retry_s

    def patiently(self, doing: str, step: Callable[[], _T]) -> _T:
        """Do a step until it works, waiting longer and longer while a dependency is down."""
        pauses = 1
        while True:
            self._holding.tell(doing)
            try:
                return step()
            except Unavailable as error:
                # In short pauses, between which a stopping service is noticed.
                for _ in range(pauses):
                    self._holding.tell(f"{doing}: waiting ({error})")
                    self._clock.sleep(self._retry_s)
                pauses = min(2 * pauses, _MOST_PAUSES)

    def interruptibly(self, doing: str, step: Callable[[], _T]) -> _T:
        """Do a step, with the same patience, that is cut off when the job is not ours any more.

        Only for what reads and computes: it leaves nothing half done that others could see.
        """
        may_go_on = partial(self._holding.tell, doing)
        return self.patiently(doing, lambda: interruptible(step, may_go_on))
