"""When a training is due by schedule."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from services.trainer import schedule
from services.trainer.schedule import parse_schedules
from services.trainer.settings import TrainerSettings


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def last_due(text: str, now: str) -> int:
    found = parse_schedules(text).of("pump")
    assert found is not None
    return found.last_due_ms(ms(now))


@pytest.mark.parametrize(
    ("text", "now", "due"),
    [
        ("0 3 * * *", "2026-11-21T03:00:00", "2026-11-21T03:00:00"),
        ("0 3 * * *", "2026-11-21T03:00:00.001", "2026-11-21T03:00:00"),
        ("0 3 * * *", "2026-11-21T02:59:59.999", "2026-11-20T03:00:00"),
        ("0 3 * * *", "2026-11-21T23:00:59", "2026-11-21T03:00:00"),
        ("*/20 * * * *", "2026-11-21T10:59:59.999", "2026-11-21T10:40:00"),
        ("0 3 * * MON", "2026-11-21T10:00:00", "2026-11-16T03:00:00"),
        ("0 0 29 2 *", "2026-11-21T10:00:00", "2024-02-29T00:00:00"),
        ("every 6h", "2026-11-21T17:59:59.999", "2026-11-21T12:00:00"),
        ("every 6h", "2026-11-21T18:00:00", "2026-11-21T18:00:00"),
        ("every 90s", "2026-11-21T00:02:59", "2026-11-21T00:01:30"),
        ("every 15 m", "2026-11-21T00:31:00", "2026-11-21T00:30:00"),
        ("every 2d", "2026-11-22T10:00:00", "2026-11-21T00:00:00"),
    ],
)
def test_a_schedule_knows_when_it_was_due_last(text: str, now: str, due: str) -> None:
    assert last_due(text, now) == ms(due)


def test_types_have_schedules_of_their_own_or_that_of_all_others() -> None:
    schedules = parse_schedules(" pump = every 6h ;0  3 * * *; test-rig=never; ")
    told = {kind: schedules.of(kind) for kind in ("pump", "valve", "test-rig")}
    assert {kind: one and one.text for kind, one in told.items()} == {
        "pump": "every 6h",
        "valve": "0 3 * * *",
        "test-rig": None,
    }
    assert parse_schedules("pump=every 6h").of("valve") is None
    assert parse_schedules("").of("pump") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("every 0h", "'every 0h' is neither an interval"),
        ("every 6 weeks", "interval"),
        ("* * * * * *", "it has 6 fields, not 5"),
        ("0 25 * * *", "Bad hour"),
        ("0 0 30 2 *", "day-of-month"),
        ("Pump=every 6h", "'Pump' is no machine type"),
        ("pump=every 6h; pump=never", "machine type 'pump' has two schedules"),
        ("every 6h; 0 3 * * *", "two schedules for all types"),
    ],
)
def test_a_setting_that_is_none_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TrainerSettings(trainer_schedule=text)


def test_the_examples_in_the_code_hold() -> None:
    assert doctest.testmod(schedule).failed == 0
