"""The real fault on this machine: when it begins, when it ends, what is known of it as truth."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from faultline.demo.stress import Stress, StressChild
from faultline.labels import FaultLabel
from faultline.ports.clock import Clock

KIND = "stress"


class HostFault:
    """Burdens the machine once, some seconds after it was first asked; ends with its context."""

    def __init__(self, machine_id: str, stress: Stress, after_s: float, clock: Clock) -> None:
        self.stress = stress
        self._machine_id = machine_id
        self._after_s = after_s
        self._clock = clock
        self._begin_s: float | None = None
        self._child: StressChild | None = None
        self._start_ms: int | None = None
        self._end_ms: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.stop()

    @property
    def over(self) -> bool:
        """Whether it has been."""
        return self._end_ms is not None

    def advance(self) -> str | None:
        """Begin or end it when it is time; returns what has just happened, in words."""
        now_s = self._clock.monotonic_s()
        if self._begin_s is None:
            self._begin_s = now_s + self._after_s
        if self._child is None and now_s >= self._begin_s:
            self._child = StressChild(self.stress).__enter__()
            self._start_ms = self._clock.now_ms()
            return (
                f"a real fault on this machine: {self.stress.cores} busy cores and "
                f"{self.stress.memory_bytes / (1 << 20):,.0f} MiB of memory for "
                f"{self.stress.seconds:g} s"
            )
        if self._child is not None and not self.over and not self._child.running:
            self._end_ms = self._clock.now_ms()
            return "the fault on this machine is over"
        return None

    @property
    def label(self) -> FaultLabel:
        """The truth about it; raises `RuntimeError` before it is over."""
        if self._start_ms is None or self._end_ms is None:
            raise RuntimeError("the fault on this machine is not over yet")
        return FaultLabel(
            machine_id=self._machine_id, kind=KIND, start_ms=self._start_ms, end_ms=self._end_ms
        )
