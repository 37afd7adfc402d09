"""What every store of comparisons must do, held against the one in memory and PostgreSQL's."""

from __future__ import annotations

from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.comparisons import BINS, KEPT_MS, Comparison, Pair, Side
from faultline.ports.stores import RecordBatch

Database = MemoryDatabase | PostgresDatabase

NAME = "faultline-pump"
NOON = 1_795_262_400_000
PAIR = Pair(NAME, "1", "2", "aa", "bb")


def scores(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"bin{number}", 0) for number in range(BINS))


ONE = Comparison(
    counter_id="process-1",
    model_name=NAME,
    champion_version="1",
    challenger_version="2",
    since_ms=NOON,
    until_ms=NOON + 5_000,
    readings=10,
    agreed=8,
    champion=Side(failures=1, alarms=0, scores=scores(bin3=9, bin12=1)),
    challenger=Side(failures=3, alarms=1, scores=scores(bin3=7, bin12=3)),
    champion_sha256="aa",
    challenger_sha256="bb",
)
LATER = structs.replace(ONE, until_ms=NOON + 10_000, readings=20, agreed=17)
OTHER = structs.replace(ONE, counter_id="process-2", since_ms=NOON - 1_000, readings=100, agreed=99)


def record(database: Database, *counters: Comparison) -> None:
    database.record_store().record(
        "recorder", RecordBatch({}, comparisons=counters), lambda _: None
    )


def test_what_was_counted_is_read_back(database: Database) -> None:
    record(database, ONE)
    assert database.comparison_store().comparison(PAIR) == structs.replace(ONE, counter_id="")


def test_a_pair_never_compared_has_nothing(database: Database) -> None:
    record(database, ONE)
    assert database.comparison_store().comparison(Pair(NAME, "1", "3")) is None


def test_later_counts_of_a_process_replace_its_earlier_ones(database: Database) -> None:
    record(database, ONE)
    record(database, LATER)
    found = database.comparison_store().comparison(PAIR)
    assert found is not None
    assert (found.readings, found.agreed, found.until_ms) == (20, 17, NOON + 10_000)


def test_counts_that_come_again_or_late_change_nothing(database: Database) -> None:
    record(database, LATER)
    record(database, LATER, ONE)
    found = database.comparison_store().comparison(PAIR)
    assert found == structs.replace(LATER, counter_id="")


def test_several_counts_of_a_process_in_one_batch_come_to_the_last(database: Database) -> None:
    record(database, ONE, LATER, OTHER)
    found = database.comparison_store().comparison(PAIR)
    assert found is not None
    assert found.readings == 120


def test_the_counts_of_all_processes_are_added_up(database: Database) -> None:
    record(database, ONE, OTHER)
    found = database.comparison_store().comparison(PAIR)
    assert found is not None
    assert (found.readings, found.agreed) == (110, 107)
    assert (found.since_ms, found.until_ms) == (NOON - 1_000, NOON + 5_000)
    assert found.challenger == Side(failures=6, alarms=2, scores=scores(bin3=14, bin12=6))


def test_each_pair_is_listed_once_the_last_compared_first(database: Database) -> None:
    newer = structs.replace(ONE, challenger_version="3", until_ms=NOON + 60_000)
    elsewhere = structs.replace(ONE, model_name="faultline-fan")
    record(database, ONE, OTHER, newer, elsewhere)
    store = database.comparison_store()
    assert [one.pair[:3] for one in store.comparisons(NAME)] == [
        (NAME, "1", "3"),
        (NAME, "1", "2"),
    ]
    assert len(store.comparisons()) == 3


def test_no_model_can_have_a_name_with_nul(database: Database) -> None:
    record(database, ONE)
    assert database.comparison_store().comparisons("faultline-\0") == []


def test_a_version_made_again_with_the_same_number_inherits_nothing(database: Database) -> None:
    record(database, ONE)
    store = database.comparison_store()
    assert store.comparison(PAIR._replace(challenger_sha256="cc")) is None
    assert store.comparison(PAIR._replace(champion_sha256="cc")) is None
    anew = structs.replace(
        ONE, counter_id="process-2", challenger_sha256="cc", readings=7, agreed=7
    )
    record(database, anew)
    found = store.comparison(anew.pair)
    assert found is not None
    assert found.readings == 7
    assert len(store.comparisons(NAME)) == 2


def test_of_a_champion_whose_sum_is_not_known_its_number_counts(database: Database) -> None:
    record(database, ONE)
    found = database.comparison_store().comparison(PAIR._replace(champion_sha256=""))
    assert found is not None
    assert found.readings == ONE.readings


def test_counts_from_before_sums_were_told_are_no_evidence_for_a_known_one(
    database: Database,
) -> None:
    record(database, structs.replace(ONE, champion_sha256="", challenger_sha256=""))
    assert database.comparison_store().comparison(PAIR) is None


def test_what_was_compared_long_before_the_latest_of_its_model_goes(database: Database) -> None:
    until_ms = ONE.until_ms + KEPT_MS
    elsewhere = structs.replace(ONE, model_name="faultline-fan")
    newer = structs.replace(ONE, counter_id="process-3", challenger_version="3", until_ms=until_ms)
    record(database, ONE, elsewhere)
    record(database, newer)
    store = database.comparison_store()
    assert len(store.comparisons()) == 3
    record(database, structs.replace(newer, until_ms=until_ms + 1, readings=11))
    assert [(one.model_name, one.challenger_version) for one in store.comparisons()] == [
        (NAME, "3"),
        ("faultline-fan", "2"),
    ]
