"""What every promotion log must do, held against the one in memory and against PostgreSQL."""

from __future__ import annotations

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.ports.jobs import Promotion

Database = MemoryDatabase | PostgresDatabase

NOON = 1_795_262_400_000


def change(number: int, at_ms: int, model: str = "faultline-pump", reason: str = "") -> Promotion:
    return Promotion(
        promotion_id=f"{model}-{number}",
        model_name=model,
        to_version=str(number),
        from_version=str(number - 1) if number > 1 else None,
        at_ms=at_ms,
        actor="gate",
        reason=reason,
    )


def test_changes_come_newest_first_and_whole(database: Database) -> None:
    log = database.promotion_log()
    first, second = change(1, NOON), change(2, NOON + 1, reason="silhouette 0.61 > 0.58")
    log.append(first)
    log.append(second)
    assert log.list("faultline-pump") == [second, first]
    assert log.list("faultline-pump", limit=1) == [second]


def test_changes_are_those_of_the_model(database: Database) -> None:
    log = database.promotion_log()
    log.append(change(1, NOON))
    log.append(change(1, NOON, model="faultline-valve"))
    assert log.list("faultline-valve") == [change(1, NOON, model="faultline-valve")]
    assert log.list("faultline-host") == []


def test_the_same_change_again_changes_nothing(database: Database) -> None:
    log = database.promotion_log()
    log.append(change(1, NOON, reason="first"))
    log.append(change(1, NOON + 5, reason="second"))
    assert log.list("faultline-pump") == [change(1, NOON, reason="first")]


def test_of_two_changes_in_one_millisecond_the_later_told_is_the_newer(database: Database) -> None:
    log = database.promotion_log()
    log.append(change(2, NOON))
    log.append(change(1, NOON))
    assert [each.to_version for each in log.list("faultline-pump")] == ["1", "2"]
    live = log.live_at("faultline-pump", NOON)
    assert live is not None
    assert live.to_version == "1"


def test_the_live_version_is_that_of_the_last_change_until_then(database: Database) -> None:
    log = database.promotion_log()
    log.append(change(2, NOON + 10))
    log.append(change(1, NOON))
    at = {
        offset: live and live.to_version
        for offset in (-1, 0, 9, 10, 99)
        for live in [log.live_at("faultline-pump", NOON + offset)]
    }
    assert at == {-1: None, 0: "1", 9: "1", 10: "2", 99: "2"}
