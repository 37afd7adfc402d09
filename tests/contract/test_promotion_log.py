"""What every promotion log must do, held against the one in memory and against PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs
from sqlalchemy import Engine, text

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.errors import Unavailable
from faultline.ports.promotions import (
    Promotion,
    PromotionKind,
    PromotionLog,
    PromotionState,
    TurnTaken,
)

Database = MemoryDatabase | PostgresDatabase

NOON = 1_795_262_400_000
PUMP = "faultline-pump"


def change(number: int, at_ms: int, model: str = PUMP, reason: str = "") -> Promotion:
    return Promotion(
        promotion_id=f"{model}-{number}",
        model_name=model,
        to_version=str(number),
        from_version=str(number - 1) if number > 1 else None,
        at_ms=at_ms,
        actor="gate",
        reason=reason,
    )


def happened(log: PromotionLog, *changes: Promotion) -> None:
    for one in changes:
        log.begin(one)
        log.finish(one.promotion_id, one.at_ms)


def done(one: Promotion) -> Promotion:
    return structs.replace(one, state=PromotionState.DONE)


def test_changes_come_newest_first_and_whole(database: Database) -> None:
    log = database.promotion_log()
    first = change(1, NOON)
    second = structs.replace(
        change(2, NOON + 1, reason="silhouette 0.61 > 0.58"),
        kind=PromotionKind.ROLLBACK,
        forced=True,
        gate="refused",
        gate_reason="silhouette 0.010",
    )
    happened(log, first, second)
    assert log.list(PUMP) == [done(second), done(first)]
    assert log.list(PUMP, limit=1) == [done(second)]


def test_changes_are_those_of_the_model(database: Database) -> None:
    log = database.promotion_log()
    happened(log, change(1, NOON), change(1, NOON, model="faultline-valve"))
    assert [one.model_name for one in log.list("faultline-valve")] == ["faultline-valve"]
    assert log.list("faultline-host") == []
    assert log.list("a\0b") == []


def test_what_is_only_begun_has_not_happened(database: Database) -> None:
    log = database.promotion_log()
    happened(log, change(1, NOON))
    log.begin(change(2, NOON + 1))
    assert [one.to_version for one in log.list(PUMP)] == ["1"]
    live = log.live_at(PUMP, NOON + 9)
    assert live is not None
    assert live.to_version == "1"


def test_a_change_is_at_the_time_at_which_it_was_finished(database: Database) -> None:
    log = database.promotion_log()
    log.begin(change(1, NOON))
    log.finish(f"{PUMP}-1", NOON + 7)
    log.finish(f"{PUMP}-1", NOON + 9)
    assert [one.at_ms for one in log.list(PUMP)] == [NOON + 7]
    assert log.live_at(PUMP, NOON + 6) is None


def test_the_same_change_again_changes_nothing(database: Database) -> None:
    log = database.promotion_log()
    happened(log, change(1, NOON, reason="first"), change(1, NOON + 5, reason="second"))
    assert log.list(PUMP) == [done(change(1, NOON, reason="first"))]


def test_one_change_of_a_model_is_begun_at_a_time(database: Database) -> None:
    log = database.promotion_log()
    log.begin(change(1, NOON))
    with pytest.raises(TurnTaken, match="begun and not finished"):
        log.begin(change(2, NOON))
    log.begin(change(2, NOON, model="faultline-valve"))
    log.finish(f"{PUMP}-1", NOON)
    log.begin(change(2, NOON))


def test_what_is_taken_back_leaves_no_trace_and_what_has_happened_stays(database: Database) -> None:
    log = database.promotion_log()
    happened(log, change(1, NOON))
    log.begin(change(2, NOON + 1))
    for number in (1, 2):
        log.withdraw(f"{PUMP}-{number}")
    log.finish(f"{PUMP}-2", NOON + 2)
    assert [one.to_version for one in log.list(PUMP)] == ["1"]
    assert [one.to_version for one in log.unfinished()] == ["1"]


def test_what_is_begun_or_not_announced_is_unfinished_oldest_first(database: Database) -> None:
    log = database.promotion_log()
    happened(log, change(1, NOON), change(2, NOON + 1))
    log.begin(change(1, NOON, model="faultline-valve"))
    log.begin(change(3, NOON - 5))
    log.mark_announced(f"{PUMP}-1")
    assert [(one.to_version, one.state) for one in log.unfinished(PUMP)] == [
        ("2", PromotionState.DONE),
        ("3", PromotionState.BEGUN),
    ]
    assert len(log.unfinished()) == 3
    assert log.unfinished("a\0b") == []


def test_of_two_changes_in_one_millisecond_the_later_told_is_the_newer(database: Database) -> None:
    log = database.promotion_log()
    happened(log, change(2, NOON), change(1, NOON))
    assert [each.to_version for each in log.list(PUMP)] == ["1", "2"]
    live = log.live_at(PUMP, NOON)
    assert live is not None
    assert live.to_version == "1"


def test_the_live_version_is_that_of_the_last_change_until_then(database: Database) -> None:
    log = database.promotion_log()
    empty = structs.replace(change(3, NOON + 20), to_version=None)
    happened(log, change(2, NOON + 10), change(1, NOON), empty)
    at = {
        offset: live and live.to_version
        for offset in (-1, 0, 9, 10, 19, 20)
        for live in [log.live_at(PUMP, NOON + offset)]
    }
    assert at == {-1: None, 0: "1", 9: "1", 10: "2", 19: "2", 20: None}


def test_only_what_is_begun_can_be_finished(database: Database) -> None:
    log = database.promotion_log()
    log.begin(change(1, NOON))
    assert log.finish(f"{PUMP}-1", NOON)
    assert not log.finish(f"{PUMP}-1", NOON)
    log.begin(change(2, NOON))
    log.withdraw(f"{PUMP}-2")
    assert not log.finish(f"{PUMP}-2", NOON)


def test_models_with_a_version_in_production_are_known_by_their_last_change(
    database: Database,
) -> None:
    log = database.promotion_log()
    assert log.live_models() == []
    happened(
        log,
        change(1, NOON, model="faultline-valve"),
        change(2, NOON),
        structs.replace(change(1, NOON - 5), to_version=None),
        change(1, NOON, model="faultline-fan"),
        structs.replace(change(2, NOON + 1, model="faultline-fan"), to_version=None),
    )
    log.begin(change(1, NOON, model="faultline-host"))
    assert log.live_models() == [PUMP, "faultline-valve"]


def test_what_becomes_of_a_version_beside_production_is_no_change_of_it(
    database: Database,
) -> None:
    log = database.promotion_log()
    archived = structs.replace(
        change(3, NOON + 5), to_version=None, from_version="3", kind=PromotionKind.ARCHIVED
    )
    happened(log, change(1, NOON), archived)
    assert log.list(PUMP) == [done(change(1, NOON))]
    live = log.live_at(PUMP, NOON + 9)
    assert live is not None
    assert log.live_models() == [PUMP]
    assert log.unfinished(PUMP) == [done(change(1, NOON)), done(archived)]


def test_who_has_the_turn_is_told_so(database: Database) -> None:
    with database.promotion_log().turn(PUMP) as turn:
        turn.require()


def test_only_one_has_the_turn_of_a_model(database: Database) -> None:
    with database.promotion_log().turn(PUMP):
        with (
            pytest.raises(TurnTaken, match=f"another change of {PUMP}"),
            database.promotion_log().turn(PUMP),
        ):
            pytest.fail("both had the turn")
        with database.promotion_log().turn("faultline-valve"):
            pass
    with database.promotion_log().turn(PUMP):
        pass


def test_a_turn_ends_with_an_error_too(database: Database) -> None:
    log = database.promotion_log()
    with pytest.raises(ZeroDivisionError), log.turn(PUMP):
        raise ZeroDivisionError
    with log.turn(PUMP):
        pass


def test_of_many_who_want_the_turn_at_once_one_gets_it(database: Database) -> None:
    wanted = 5
    all_asked = threading.Barrier(wanted)

    def try_it(_: int) -> bool:
        try:
            with database.promotion_log().turn(PUMP):
                all_asked.wait(30)
                return True
        except TurnTaken:
            all_asked.wait(30)
            return False

    with ThreadPoolExecutor(wanted) as threads:
        assert sorted(threads.map(try_it, range(wanted))) == [False] * 4 + [True]


def end_its_connection(engine: Engine) -> None:
    """Do what the server does when a process is killed."""
    with engine.begin() as connection:
        ended = connection.scalar(
            text(
                "SELECT bool_and(pg_terminate_backend(pid, 20000)) FROM pg_locks "
                "WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    assert ended


def lose_the_turn(log: PromotionLog, engine: Engine) -> None:
    with log.turn(PUMP):
        end_its_connection(engine)
        with log.turn(PUMP):
            pass


@pytest.mark.real
def test_a_turn_whose_connection_is_lost_is_free_for_others_and_known_to_be_lost(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    with pytest.raises(Unavailable):
        lose_the_turn(postgres.promotion_log(), engine)


@pytest.mark.real
def test_a_turn_can_be_asked_whether_it_was_lost(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    def overstay() -> None:
        with postgres.promotion_log().turn(PUMP) as turn:
            end_its_connection(engine)
            turn.require()
            pytest.fail("it went on without the turn")

    with pytest.raises(Unavailable):
        overstay()


@pytest.mark.real
def test_what_is_raised_in_a_turn_that_was_lost_is_what_is_raised(
    postgres: PostgresDatabase, engine: Engine
) -> None:
    def overstay() -> None:
        with postgres.promotion_log().turn(PUMP):
            end_its_connection(engine)
            raise TurnTaken("overtaken")

    with pytest.raises(TurnTaken, match="overtaken"):
        overstay()


@pytest.mark.real
def test_a_turn_is_not_lost_by_waiting(postgres: PostgresDatabase, engine: Engine) -> None:
    """The server ends other transactions that are idle for two minutes."""
    with postgres.promotion_log().turn(PUMP) as turn:
        idle = text("SHOW idle_in_transaction_session_timeout")
        assert turn._connection.scalar(idle) == "0"
    with postgres.transaction() as connection:
        assert connection.scalar(idle) == "2min"
