"""Waiting for a condition, as long as something still moves towards it."""

from __future__ import annotations

from collections.abc import Callable

from faultline.errors import FaultlineError
from faultline.ports.clock import Clock

_POLL_S = 0.2


class Stalled(FaultlineError):
    """What was waited for did not come, and nothing moved any more."""


def wait_until(
    done: Callable[[], bool],
    what: str,
    clock: Clock,
    *,
    progress: Callable[[], object] = lambda: None,
    patience_s: float = 60.0,
) -> None:
    """Return once `done` says so.

    Parameters
    ----------
    what
        Named when it does not come.
    progress
        As long as its value changes, waiting goes on.
    patience_s
        How long it may stay the same.

    Raises
    ------
    Stalled
        When it stayed the same for so long.
    """
    seen = progress()
    moved_s = clock.monotonic_s()
    while not done():
        now = progress()
        if now != seen:
            seen, moved_s = now, clock.monotonic_s()
        elif clock.monotonic_s() - moved_s > patience_s:
            raise Stalled(
                f"waited {patience_s:g} s for {what}, and nothing moved; it stands at {seen}"
            )
        clock.sleep(_POLL_S)
