"""The sentence that `why` and `explain` print."""

from __future__ import annotations

import doctest

import pytest

from faultline.cli import contributions
from faultline.cli.contributions import in_a_sentence
from faultline.verdicts import SensorContribution, Status, Verdict


@pytest.mark.parametrize(
    ("status", "begin"),
    [
        (Status.NORMAL, "pump-1: within what is expected; nearest to the limit: flow 31"),
        (Status.FAILURE, "pump-1: flow 31"),
    ],
)
def test_a_normal_verdict_does_not_read_as_an_alarm(status: Status, begin: str) -> None:
    part = SensorContribution(
        sensor="flow",
        share=1.0,
        observed=31.0,
        expected=35.0,
        expected_low=34.0,
        expected_high=36.0,
        direction="low",
    )
    verdict = Verdict(timestamp_ms=0, status=status, score=0.9, contributions=(part,))
    assert in_a_sentence("pump-1", verdict).startswith(begin)


def test_the_examples() -> None:
    assert doctest.testmod(contributions).failed == 0
