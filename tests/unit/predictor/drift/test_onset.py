"""When drift begins and ends, and what of it has been told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from faultline.drift import DriftEvent, DriftKind, Finding
from services.predictor.drift_onset import DriftLimits, Onsets

LIMITS = DriftLimits(distance=0.3, level=0.25)


def found(statistic: float, name: str = "flow", p_value: float = 0.0) -> Finding:
    return Finding(
        kind=DriftKind.SENSOR, name=name, statistic=statistic, threshold=0.3, p_value=p_value
    )


def told_of(*statistics: Finding, at_ms: int) -> DriftEvent:
    return DriftEvent(
        event_id=str(at_ms),
        machine_type="pump",
        model_name="faultline-pump",
        model_version="1",
        at_ms=at_ms,
        findings=statistics,
        start_ms=0,
        end_ms=1,
        readings=200,
    )


def onsets(cooldown_s: float = 0.0) -> Onsets:
    return Onsets(LIMITS, cooldown_s, heard_ms=180_000)


def looked(followed: Onsets, findings: Sequence[Finding], now_ms: int) -> tuple[Finding, ...]:
    """Take a look in, and tell of it."""
    followed.follow(findings, now_ms)
    telling = followed.to_tell(findings, now_ms)
    if telling:
        followed.hear(told_of(*telling, at_ms=now_ms), same_version=True)
    return telling


def followed(onsets: Onsets, statistics: Sequence[float], every_s: float = 100.0) -> list[int]:
    return [
        number
        for number, statistic in enumerate(statistics)
        if looked(onsets, [found(statistic)], round(1_000 * number * every_s))
    ]


def test_what_swings_around_the_threshold_begins_once() -> None:
    assert followed(onsets(), [0.29, 0.31, 0.29, 0.31, 0.22, 0.31]) == [1]


def test_what_falls_below_two_thirds_has_ended() -> None:
    assert followed(onsets(), [0.31, 0.19, 0.29, 0.31]) == [0, 3]


def test_in_the_cooldown_nothing_is_told_and_afterwards_what_still_drifts() -> None:
    assert followed(onsets(cooldown_s=250.0), [0.4, 0.1, 0.4, 0.4, 0.4, 0.1]) == [0, 3]


def test_what_chance_explains_does_not_begin() -> None:
    assert looked(onsets(), [found(0.9, p_value=0.01)], 0) == ()


def test_a_second_sensor_is_a_new_event_with_both_the_farthest_first() -> None:
    both = onsets()
    assert looked(both, [found(0.4), found(0.1, "heat")], 0) == (found(0.4),)
    now = looked(both, [found(0.4), found(0.5, "heat")], 1)
    assert [finding.name for finding in now] == ["heat", "flow"]


def test_what_has_begun_is_told_only_once_it_is_heard() -> None:
    begun = onsets()
    begun.follow([found(0.4)], 0)
    assert begun.to_tell([found(0.4)], 0) == begun.to_tell([found(0.4)], 1) == (found(0.4),)
    begun.hear(told_of(found(0.4), at_ms=0), same_version=True)
    assert not begun.untold()


def test_what_cannot_be_compared_now_waits_with_its_event() -> None:
    begun = onsets()
    begun.follow([found(0.4)], 0)
    begun.follow([], 1)
    assert begun.untold()
    assert begun.to_tell([], 1) == ()
    assert begun.to_tell([found(0.4)], 2) == (found(0.4),)


@pytest.mark.parametrize(
    ("told_s", "same_version", "untold"),
    [
        (450, True, False),  # a look before it was found here
        (550, True, False),  # by one that looked later
        (150, True, True),  # of what has ended
        (450, False, True),
    ],
)
def test_what_another_told_counts_for_the_same_beginning(
    told_s: int, same_version: bool, untold: bool
) -> None:
    begun = onsets()
    begun.follow([found(0.1)], 400_000)
    begun.follow([found(0.4)], 500_000)
    event = told_of(found(0.4), at_ms=1_000 * told_s)
    begun.hear(event, same_version=same_version)
    assert begun.untold() is untold


def test_what_was_told_long_before_a_start_is_told_again() -> None:
    begun = onsets(cooldown_s=3_600.0)
    begun.follow([found(0.4)], 500_000)
    begun.hear(told_of(found(0.4), at_ms=0), same_version=True)
    assert begun.to_tell([found(0.4)], 500_000) == ()
    assert begun.to_tell([found(0.4)], 3_600_000) == (found(0.4),)
