"""What the checker finds of verdicts and alarms in histories made by hand: each kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from faultline import alarms as alarm_codec
from faultline import verdicts as verdict_codec
from faultline.alarms import AlarmEvent, AlarmPolicy
from faultline.detector import Detector
from faultline.judge import Model, judge
from faultline.machine_state import MachineState
from faultline.ports.broker import Message, Partition
from faultline.ports.promotions import Promotion
from faultline.ports.stores import StoredVerdict
from faultline.readings import encode_batch
from faultline.verdicts import VerdictBatch
from tests.history.findings import Kind, Observed
from tests.history.handmade import message, reading
from tests.history.judgements import check_verdicts

NAME = "faultline-default"
POLICY = AlarmPolicy(open_bad=2, open_window=3, close_good=2)


def _model(version: str, boundary: float) -> Model:
    detector = Detector(
        sensors=("flow",),
        window_rows=1,
        max_gap_ms=60_000,
        centre=np.zeros(1),
        scale=np.ones(1),
        spread=np.ones(1),
        clusters=np.zeros((1, 1)),
        boundary=boundary,
        unknown_score=2.0,
    )
    return Model(NAME, version, detector)


ONE, TWO = _model("1", 2.0), _model("2", 3.0)
MODELS = {(NAME, "1"): ONE, (NAME, "2"): TWO}
# Quiet, an alarm that opens and closes, quiet; then one that stays.
VALUES = (0.0, 0.1, 9.0, 9.1, 9.2, 0.0, 0.1, 0.2, 0.1, 9.0, 9.3)
READINGS = [reading(second, value) for second, value in enumerate(VALUES)]


def _said(*cuts: tuple[Model, int, int]) -> Observed:
    """What comes of batches of readings, each from a version; one that begins earlier is judged
    from where the one that ended there left the machine."""
    states: dict[int, MachineState | None] = {0: None}
    batches: list[VerdictBatch] = []
    events: list[AlarmEvent] = []
    for model, start, end in cuts:
        judged = judge(model, states[start], READINGS[start:end], POLICY)
        states[end] = judged.state
        batches.append(judged.batch)
        events += judged.alarm_events
    stored: dict[int, StoredVerdict] = {}
    for batch in batches:
        for verdict in batch.verdicts:
            one = StoredVerdict("pump", "default", batch.model_name, batch.model_version, verdict)
            stored.setdefault(verdict.timestamp_ms, one)
    return Observed(
        readings=[message(place, encode_batch([one])) for place, one in enumerate(READINGS)],
        verdicts=[
            Message(
                Partition("sensor.verdicts", 0), place, b"pump", verdict_codec.encode(batch), (), 50
            )
            for place, batch in enumerate(batches)
        ],
        alarms=[
            Message(Partition("sensor.alarms", 0), place, b"pump", alarm_codec.encode(event))
            for place, event in enumerate(events)
        ],
        stored_verdicts=list(stored.values()),
        stored_events=list({event.event_id: event for event in events}.values()),
        stored_alarms=list({event.alarm.alarm_id: event.alarm for event in events}.values()),
        promotions=[_promotion("1", 10), _promotion("2", 20)],
    )


def _promotion(version: str, at_ms: int) -> Promotion:
    return Promotion(
        promotion_id=version,
        model_name=NAME,
        to_version=version,
        from_version=None,
        at_ms=at_ms,
        actor="a test",
        reason="",
    )


END = len(READINGS)
JUDGED = _said((ONE, 0, 4), (ONE, 4, 6), (ONE, 4, 8), (TWO, 8, END))


def _judged_kinds(observed: Observed) -> set[Kind]:
    return {finding.kind for finding in check_verdicts(observed, MODELS, POLICY)}


def test_sound_verdicts_and_alarms_have_no_findings() -> None:
    """One batch repeats another, as after a crash, and is cut in another way."""
    assert len(JUDGED.stored_alarms) == 2
    assert check_verdicts(JUDGED, MODELS, POLICY) == []


def test_a_verdict_that_no_version_gives_is_found() -> None:
    batch = verdict_codec.decode(JUDGED.verdicts[0].value)
    first, *rest = batch.verdicts
    assert first.score is not None
    changed = VerdictBatch(
        machine_id=batch.machine_id,
        machine_type=batch.machine_type,
        verdicts=(type(first)(timestamp_ms=0, status=first.status, score=0.5), *rest),
        model_name=batch.model_name,
        model_version=batch.model_version,
    )
    told = JUDGED.verdicts[0]._replace(value=verdict_codec.encode(changed))
    observed = replace(JUDGED, verdicts=[told, *JUDGED.verdicts[1:]])
    assert _judged_kinds(observed) == {Kind.WRONG_VERDICT}


def test_verdicts_of_another_version_than_they_name_are_found() -> None:
    value = JUDGED.verdicts[-1].value.replace(b'"model_version":"2"', b'"model_version":"1"')
    told = JUDGED.verdicts[-1]._replace(value=value)
    observed = replace(JUDGED, verdicts=[*JUDGED.verdicts[:-1], told])
    assert Kind.WRONG_VERDICT in _judged_kinds(observed)


def test_a_verdict_that_is_stored_otherwise_than_it_was_said_is_found() -> None:
    kept = JUDGED.stored_verdicts[0]
    changed = StoredVerdict("pump", "default", NAME, "2", kept.verdict)
    observed = replace(JUDGED, stored_verdicts=[changed, *JUDGED.stored_verdicts[1:]])
    assert _judged_kinds(observed) == {Kind.WRONG_VERDICT}


def test_a_batch_that_skips_readings_is_found() -> None:
    observed = _said((ONE, 0, 4), (ONE, 4, 8), (TWO, 8, END))
    skipping = replace(observed, verdicts=[observed.verdicts[0], observed.verdicts[2]])
    assert Kind.WRONG_VERDICT in _judged_kinds(skipping)


def test_readings_without_a_verdict_are_found() -> None:
    assert _judged_kinds(_said((ONE, 0, 4))) == {Kind.MISSING_VERDICT}
    observed = replace(JUDGED, stored_verdicts=JUDGED.stored_verdicts[1:])
    assert _judged_kinds(observed) == {Kind.MISSING_VERDICT}


def test_verdicts_of_a_version_that_was_not_live_are_found() -> None:
    observed = replace(JUDGED, promotions=[_promotion("1", 10), _promotion("2", 60)])
    assert _judged_kinds(observed) == {Kind.WRONG_VERSION}


@pytest.mark.parametrize(
    "observed",
    [
        replace(JUDGED, alarms=JUDGED.alarms[1:]),
        replace(JUDGED, stored_events=JUDGED.stored_events[1:]),
        replace(JUDGED, stored_alarms=JUDGED.stored_alarms[1:]),
    ],
)
def test_an_alarm_that_is_missing_is_found(observed: Observed) -> None:
    assert _judged_kinds(observed) == {Kind.WRONG_ALARM}


def test_an_alarm_that_no_verdict_raises_is_found() -> None:
    """An alarm of a version whose readings another has judged since: nothing will ever close it."""
    orphaned = _said((ONE, 0, 3), (ONE, 3, END), (_model("2", 100.0), 3, END))
    found = check_verdicts(orphaned, {**MODELS, (NAME, "2"): _model("2", 100.0)}, POLICY)
    assert {finding.kind for finding in found} == {Kind.WRONG_ALARM}
