from __future__ import annotations

import pytest


class ManualClock:
    """Time that passes only by waiting, and a record of the waits."""

    def __init__(self) -> None:
        self.s = 1_000.0
        self.waits: list[float] = []

    def now_ms(self) -> int:
        return 1_795_000_000_000 + round(self.s * 1_000)

    def monotonic_s(self) -> float:
        return self.s

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.s += seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
