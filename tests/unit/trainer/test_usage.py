"""What a training is said to have taken."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from services.trainer.usage import Meter


def test_work_takes_processor_time() -> None:
    meter = Meter()
    while meter.read().cpu_s < 0.01:
        sum(range(1000))
    used = meter.read()
    assert used.duration_s > 0


@pytest.mark.skipif(
    sys.platform != "linux" or not Path("/proc/self/clear_refs").exists(),
    reason="only Linux tells a peak of its own",
)
def test_the_peak_is_that_since_the_meter_was_made() -> None:
    before = np.ones(40_000_000)  # 320 MB
    del before
    meter = Meter()
    calm = meter.read().peak_memory_bytes
    held = np.ones(20_000_000)  # 160 MB
    peak = meter.read().peak_memory_bytes
    assert calm is not None
    assert peak is not None
    assert 0.9 * held.nbytes < peak - calm < 1.5 * held.nbytes
