"""What `faultline why` prints of a verdict that no model gave."""

from __future__ import annotations

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryDatabase
from faultline.cli.why import document, lines, promotion_for
from faultline.hindsight import Hindsight
from faultline.ports.promotions import Promotion, PromotionLog
from faultline.ports.stores import StoredVerdict
from faultline.verdicts import Status, Verdict

NOON = 1_795_262_400_000


def log_of(*at_ms: int) -> PromotionLog:
    """Versions 1, 2, … promoted at these times."""
    log = MemoryDatabase(SystemClock()).promotion_log()
    for number, each_ms in enumerate(at_ms, start=1):
        log.begin(
            Promotion(
                promotion_id=str(number),
                model_name="faultline-pump",
                to_version=str(number),
                from_version=None,
                at_ms=each_ms,
                actor="ada",
                reason="better",
            )
        )
        log.finish(str(number), each_ms)
    return log


def first_line(log: PromotionLog, version: str | None = None) -> str:
    name = None if version is None else "faultline-pump"
    verdict = Verdict(timestamp_ms=NOON, status=Status.NO_MODEL)
    stored = StoredVerdict("pump-01", "pump", name, version, verdict)
    found = Hindsight(stored, verdict, True, None, NOON, 1, 1, ())
    return lines(document(found, promotion_for(log, stored)))[0]


def test_the_first_promotion_after_it_is_told() -> None:
    told = first_line(log_of(NOON + 60_000, NOON + 120_000))
    assert told.endswith(
        "by no model (version 1 of faultline-pump was promoted at 2026-11-21T12:01:00.000Z)"
    )


def test_the_promotion_before_it_is_told_where_the_predictor_had_not_loaded_the_version() -> None:
    assert "(version 1 of faultline-pump was promoted at " in first_line(
        log_of(NOON - 60_000, NOON + 60_000)
    )


def test_nothing_is_told_where_none_was_ever_promoted_or_a_version_gave_it() -> None:
    assert first_line(log_of()).endswith("by no model")
    assert first_line(log_of(NOON), version="1").endswith("by faultline-pump version 1")
