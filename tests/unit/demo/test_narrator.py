"""What is said while the demonstration runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.demo.narrator import Narrator, alarm_sentence
from faultline.verdicts import SensorContribution


def event(kind: AlarmEventKind) -> AlarmEvent:
    sensors = tuple(
        SensorContribution(name, 0.25, 36.5, 41.0, 40.0, 42.0, "low")
        for name in ("flow", "efficiency", "pressure_out", "speed")
    )
    alarm = Alarm(
        alarm_id="a",
        machine_id="pump-[01]",
        machine_type="pump",
        state=AlarmState.OPEN,
        began_at_ms=0,
        opened_at_ms=3_600_000,
        updated_at_ms=7_200_000,
        peak_score=2.345,
        peak_at_ms=0,
        top_sensors=sensors,
        bad_readings=42,
        model_name="faultline-pump",
        model_version="1",
        why="pump-[01]: flow 36.5, expected 40.0 to 42.0 (25 % of the deviation)",
    )
    return AlarmEvent(event_id="e", kind=kind, alarm=alarm)


def said(text: io.StringIO) -> str:
    return " ".join(text.getvalue().split())


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def narrator(text: io.StringIO) -> Narrator:
    return Narrator(Console(file=text, width=200))


def test_an_opened_alarm_is_told_with_its_sentence() -> None:
    assert alarm_sentence(event(AlarmEventKind.OPENED)) == (
        "ALARM at 01:00:00, score 2.35: pump-[01]: flow 36.5, expected 40.0 to 42.0 (25 % of the "
        "deviation) [version 1]"
    )


def test_a_closed_alarm_says_how_bad_it_was() -> None:
    sentence = alarm_sentence(event(AlarmEventKind.CLOSED))
    assert sentence == "pump-[01] is well again at 02:00:00: 42 bad readings, highest score 2.35"


def test_names_with_brackets_are_printed_as_they_are(narrator: Narrator, text: io.StringIO) -> None:
    narrator.alarm(event(AlarmEventKind.OPENED))
    assert "pump-[01]" in said(text)


def test_an_alarm_that_only_grows_is_not_told_again(narrator: Narrator, text: io.StringIO) -> None:
    narrator.alarm(event(AlarmEventKind.UPDATED))
    assert said(text) == ""


def test_a_step_is_told_with_its_time(narrator: Narrator, text: io.StringIO) -> None:
    with narrator.step("Do it"):
        narrator.say("half of it")
    assert [word in said(text) for word in ("Do it", "half of it", "took")] == [True] * 3
    assert [step.name for step in narrator.steps] == ["Do it"]


def test_a_step_that_fails_is_not_counted_as_done(narrator: Narrator) -> None:
    def fail() -> None:
        with narrator.step("Do it"):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fail()
    assert narrator.steps == ()
