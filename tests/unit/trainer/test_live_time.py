"""When any version of a model was in Production, and what is absent."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from faultline.labels import FaultLabel
from faultline.ports.promotions import Promotion, PromotionKind
from services.trainer import absent, rollback
from services.trainer.live_time import live_time
from services.trainer.rollback import nowhere_back


def change(at_ms: int, to: str | None, kind: PromotionKind = PromotionKind.PROMOTION) -> Promotion:
    return Promotion(
        promotion_id=str(at_ms),
        model_name="faultline-pump",
        to_version=to,
        from_version=None,
        at_ms=at_ms,
        actor="ada",
        reason="",
        kind=kind,
    )


EMPTIED = PromotionKind.EXTERNAL
# Newest first: live from 100 to 300 by two versions, not at all to 500, then on.
HISTORY = (change(500, "2"), change(300, None, EMPTIED), change(200, "2"), change(100, "1"))


def test_a_time_counts_when_any_version_was_live() -> None:
    live = live_time(HISTORY)
    assert live.periods == ((100, 300), (500, None))
    assert live.since_ms == 100
    times = np.array([99, 100, 299, 300, 499, 500, 10**15])
    assert live.holds(times).tolist() == [False, True, True, False, False, True, True]


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "met"),
    [(0, 100, False), (0, 101, True), (300, 500, False), (300, None, True), (299, 400, True)],
)
def test_a_fault_counts_when_a_version_was_live_during_a_part_of_it(
    start_ms: int, end_ms: int | None, met: bool
) -> None:
    label = FaultLabel(machine_id="pump-1", kind="leak", start_ms=start_ms, end_ms=end_ms)
    assert live_time(HISTORY).meets(label) is met


def test_without_a_history_none_was_live() -> None:
    live = live_time(())
    assert live.since_ms is None
    assert not live.holds(np.array([0, 1])).any()


@pytest.mark.parametrize(
    ("history", "present", "said"),
    [
        (HISTORY[3:], {"1"}, "only version 1 has been in Production"),
        ((), {"1"}, "none has been there"),
        (HISTORY[1:], {"1", "2"}, "none is there now); name one: 1, 2"),
        (
            (change(3, "1", PromotionKind.ROLLBACK), change(2, "4"), change(1, "1")),
            {"1", "4"},
            "version 1 was the first in Production); name one: 4",
        ),
    ],
)
def test_where_no_version_is_before_those_that_can_be_named_are(
    history: tuple[Promotion, ...], present: set[str], said: str
) -> None:
    assert said in nowhere_back("faultline-pump", history, present)


def test_the_examples() -> None:
    assert doctest.testmod(absent).failed == 0
    assert doctest.testmod(rollback).failed == 0
