"""What a promotion costs: delays are those of the readings meanwhile, and a missed aim is told."""

from __future__ import annotations

import numpy as np
import pytest

from bench.reload import Phase, report
from bench.reload_load import Seen


def _phase(reading_ms: float, predict_ms: float) -> Phase:
    return Phase(np.full(100, reading_ms), np.full(100, predict_ms))


def test_a_delay_is_from_sending_to_the_verdict() -> None:
    seen = Seen(
        sent_s={("a", 1): 1.0, ("a", 2): 2.0, ("b", 1): 9.0},
        arrived_s={("a", 1): 1.5, ("a", 2): 2.25},
    )
    assert seen.delays_ms(0.0, 5.0).tolist() == [500.0, 250.0]


def test_a_reading_without_a_verdict_is_not_passed_over() -> None:
    with pytest.raises(RuntimeError, match="1 readings have no verdict"):
        Seen(sent_s={("a", 1): 1.0}).delays_ms(0.0, 5.0)


def test_aims_that_are_met() -> None:
    text, met = report(np.array([0.1]), _phase(10, 1), _phase(200, 2), np.array([0.5, 1.9]))
    assert met
    assert "MISSED" not in text


@pytest.mark.parametrize(
    ("swap_ms", "reading_ms", "predict_ms", "until_s"),
    [(1.1, 10, 1, 0.5), (0.1, 211, 1, 0.5), (0.1, 10, 2.1, 0.5), (0.1, 10, 1, 2.1)],
)
def test_one_that_is_missed_is_told(
    swap_ms: float, reading_ms: float, predict_ms: float, until_s: float
) -> None:
    during = _phase(reading_ms, predict_ms)
    text, met = report(np.array([swap_ms]), _phase(10, 1), during, np.array([0.5, until_s]))
    assert not met
    assert text.count("MISSED") == 1
