"""A clock whose seconds can be made longer while it runs, and whose sleepers can be woken for good.

What is paced by it speeds along, slows down, waits or stops, as the demonstration needs it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from faultline.errors import FaultlineError
from faultline.ports.clock import Clock

# How long a change of the rate may go unnoticed.
_SLICE_S = 0.1


class Stopped(FaultlineError):
    """The sleeper was told to stop."""


class Tempo:
    """Seconds as `rate` says: 1.0 is real time, 0.1 ten times as slow, 0.0 stands still.

    Parameters
    ----------
    rate
        Asked again every tenth of a second of sleep.
    stop
        Once set, every sleep raises `Stopped`.
    """

    def __init__(self, clock: Clock, rate: Callable[[], float], stop: threading.Event) -> None:
        self._clock = clock
        self._rate = rate
        self._stop = stop
        self._elapsed_s = 0.0
        self._last_s = clock.monotonic_s()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, of the real clock."""
        return self._clock.now_ms()

    def monotonic_s(self) -> float:
        """Seconds of this clock since it was made."""
        self._advance(self._rate())
        return self._elapsed_s

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds of this clock, however long that takes."""
        until_s = self.monotonic_s() + seconds
        while True:
            if self._stop.is_set():
                raise Stopped("told to stop")
            rate = self._rate()
            self._advance(rate)
            left_s = until_s - self._elapsed_s
            if left_s <= 0:
                return
            self._clock.sleep(min(_SLICE_S, left_s / rate) if rate > 0 else _SLICE_S)

    def _advance(self, rate: float) -> None:
        now_s = self._clock.monotonic_s()
        self._elapsed_s += (now_s - self._last_s) * rate
        self._last_s = now_s
