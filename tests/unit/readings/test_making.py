"""Readings and timestamps that are made here, and not read from a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.errors import InvalidReading
from faultline.readings import (
    MAX_TIMESTAMP_MS,
    chunked,
    format_timestamp,
    make_reading,
    parse_timestamp,
)


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        (0, 0),
        (1500.9, 1500),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01T00:00:01.5009999Z", 1500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00", 0),
        ("2100-12-31T23:59:59.999Z", MAX_TIMESTAMP_MS),
    ],
)
def test_a_timestamp_is_rfc_3339_or_epoch_milliseconds(
    timestamp: str | float, milliseconds: int
) -> None:
    assert parse_timestamp(timestamp) == milliseconds


@given(st.integers(0, MAX_TIMESTAMP_MS))
def test_a_formatted_timestamp_is_parsed_to_the_same(milliseconds: int) -> None:
    assert parse_timestamp(format_timestamp(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 21, 8, tzinfo=UTC),
        datetime(2026, 11, 21, 8),  # noqa: DTZ001 - without a zone it is UTC
        datetime(2026, 11, 21, 10, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_reading_can_be_made_from_a_datetime(moment: datetime) -> None:
    assert make_reading("pump", moment, {"p": 1.0}).timestamp_ms == 1_795_248_000_000


def test_a_reading_that_is_made_keeps_the_limits_too() -> None:
    with pytest.raises(InvalidReading, match=r"sensors\.p: nan must be a finite number"):
        make_reading("pump", 0, {"p": float("nan")})


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), -1.1e100, 10**400])
@pytest.mark.parametrize("beside", [None, 1.0, 1e100])
def test_one_value_beyond_the_limit_is_found_among_others(
    value: float, beside: float | None
) -> None:
    with pytest.raises(InvalidReading, match=r"sensors\.p: .* must be a finite number"):
        make_reading("pump", 0, {"a": beside, "p": value, "z": beside})


def test_very_many_values_at_the_limit_are_within_it() -> None:
    sensors: dict[str, float | None] = {f"s{number}": 1e100 for number in range(1_000)}
    assert make_reading("pump", 0, sensors).sensors == sensors


def test_the_identity_is_machine_and_timestamp() -> None:
    assert make_reading("pump", 5, {"p": 1.0}).identity == ("pump", 5)


def test_chunks_keep_order_and_size() -> None:
    batch = [make_reading("pump", number, {"p": 1.0}) for number in range(5)]
    assert [len(chunk) for chunk in chunked(batch, 2)] == [2, 2, 1]
