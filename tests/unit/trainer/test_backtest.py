from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from faultline.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from faultline.labels import FaultLabel
from faultline.ports.stores import RecordBatch
from services.trainer.backtest import grouped

NAME = "faultline-pump"
URL = f"/api/v1/ml/models/{NAME}/versions/1/backtest"
START_MS = 1_795_000_000_000
STEP_MS = 1_000


def alarm(opened: int, closed: int | None, version: str = "1") -> Alarm:
    """Times in rows after the begin of the history."""
    opened_ms = START_MS + STEP_MS * opened
    return Alarm(
        alarm_id=f"{version}-{opened}",
        machine_id="pump-1",
        machine_type="pump",
        state=AlarmState.OPEN if closed is None else AlarmState.CLOSED,
        began_at_ms=opened_ms,
        opened_at_ms=opened_ms,
        updated_at_ms=opened_ms,
        closed_at_ms=None if closed is None else START_MS + STEP_MS * closed,
        peak_score=2.0,
        peak_at_ms=opened_ms,
        top_sensors=(),
        bad_readings=6,
        model_name=NAME,
        model_version=version,
    )


def raised(world: Any, *alarms: Alarm) -> None:
    events = [
        AlarmEvent(event_id=one.alarm_id, kind=AlarmEventKind.OPENED, alarm=one) for one in alarms
    ]
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, alarm_events=events), lambda _: None
    )


def labelled(world: Any, start: int, end: int, kind: str = "leak") -> None:
    label = FaultLabel(
        machine_id="pump-1",
        kind=kind,
        start_ms=START_MS + STEP_MS * start,
        end_ms=START_MS + STEP_MS * end,
    )
    world.database.record_store().record(
        "test", RecordBatch(offsets={}, labels=[label]), lambda _: None
    )


@pytest.fixture
def faulty(world: Any) -> Any:
    """A version trained on 300 healthy rows; another 300 follow, of which 100 to 150 are bad."""
    world.train(end_ms=START_MS + 300 * STEP_MS)
    rows = np.resize(world.store.readings("pump-1").values, (300, 3))
    rows[100:150] += 40.0
    world.store_rows(rows, start_ms=START_MS + 300 * STEP_MS)
    return world


def asked(world: Any, **request: Any) -> Any:
    answer = world.http.post(URL, json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_fault_that_nobody_alarmed_of_is_found_now(faulty: Any) -> None:
    labelled(faulty, 400, 450)
    told = asked(faulty, machines=["pump-1"], start=START_MS + 300 * STEP_MS)
    assert told["readings"] == 300
    assert [one["found_by"] for one in told["alarms"]] == ["now"]
    (found,) = told["alarms"][0]["now"]
    assert found["model_version"] == "1"
    assert len(found["sensors"]) == 3
    (fault,) = told["faults"]
    assert fault["kind"] == "leak"
    assert fault["then_delay_s"] is None
    # The rule asks for six bad readings.
    assert 0 < fault["now_delay_s"] <= 10
    # No version was live then, so none has missed it.
    assert (told["now"]["recall"], told["then"]["recall"]) == (1.0, None)
    assert not fault["was_live"]
    assert (told["then"]["faults"], told["then"]["machine_days"]) == (0, 0)
    assert (told["now"]["false_alarms"], told["then"]["false_alarms"]) == (0, 0)
    assert told["now"]["false_alarms_per_machine_day"] == 0
    assert told["machine_days"] < 250 / 86_400


def test_an_alarm_without_a_label_is_false(faulty: Any) -> None:
    told = asked(faulty, machines=["pump-1"], start=START_MS + 300 * STEP_MS)
    assert (told["now"]["alarms"], told["now"]["false_alarms"]) == (1, 1)
    assert told["now"]["false_alarms_per_machine_day"] == pytest.approx(1 / told["machine_days"])
    assert told["now"]["recall"] is None


def test_alarms_that_were_stand_beside_those_that_overlap_them(faulty: Any) -> None:
    raised(faulty, alarm(350, 360), alarm(410, 470))
    told = asked(faulty, machines=["pump-1"], start=START_MS + 300 * STEP_MS)
    assert [one["found_by"] for one in told["alarms"]] == ["then", "both"]
    assert (told["then"]["alarms"], told["then"]["false_alarms"]) == (2, 2)


def test_verdicts_are_counted_by_status(faulty: Any) -> None:
    told = asked(faulty, start=START_MS + 300 * STEP_MS)
    assert told["machines"][0]["verdicts"] == told["verdicts"]
    assert sum(told["verdicts"].values()) == 300
    assert told["verdicts"]["failure"] >= 45
    # Rows before the range have filled the window.
    assert "warming_up" not in told["verdicts"]


def test_what_the_version_learnt_from_is_told(faulty: Any) -> None:
    assert asked(faulty, start=START_MS + 300 * STEP_MS)["learnt_readings"] == 0
    told = asked(faulty)
    assert told["readings"] == 900
    assert told["learnt_readings"] == 600
    assert told["verdicts"]["warming_up"] > 0


def test_a_backtest_changes_nothing(faulty: Any) -> None:
    before = faulty.events()
    asked(faulty)
    assert faulty.events() == before
    assert faulty.store.alarms() == []


@pytest.mark.parametrize(
    ("path", "request_body", "status", "told"),
    [
        (URL.replace("/1/", "/9/"), {}, 404, "9"),
        (URL.replace("pump", "valve"), {}, 404, "valve"),
        (URL, {"machines": ["pump-9"]}, 404, "'pump-9'"),
        (URL, {"start": START_MS + 10**9}, 404, "'pump'"),
        (URL, {"start": 2, "end": 1}, 422, "end must be later"),
        (URL, {"machines": []}, 422, "machines"),
        (URL, {"from": 1}, 422, "from"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    faulty: Any, path: str, request_body: dict[str, Any], status: int, told: str
) -> None:
    answer = faulty.http.post(path, json=request_body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.text


def test_more_readings_than_allowed_are_refused(make_world: Any) -> None:
    world = make_world(trainer_max_backtest_rows=1_000)
    world.store_history(rows=501)
    world.train()
    answer = world.http.post(URL, json={})
    assert answer.status_code == 422
    assert "more than 1,000 readings" in answer.json()["detail"]
    assert world.http.post(URL, json={"machines": ["pump-1"]}).status_code == 200


def test_a_version_whose_files_were_altered_is_refused(faulty: Any) -> None:
    faulty.registry.set_tags(NAME, "1", {"bundle_sha256": "0" * 64})
    answer = faulty.http.post(URL, json={})
    assert answer.status_code == 409
    assert "was altered" in answer.json()["detail"]


def test_one_backtest_at_a_time(faulty: Any) -> None:
    inner = []
    history = faulty.store.port.history

    class Asking:
        """A store that asks for another backtest while it is read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(faulty.database.fleet_store(), name)

        def history(self, query: Any) -> Any:
            inner.append(faulty.http.post(URL, json={}))
            return history(query)

    faulty.store.port = Asking()
    asked(faulty)
    assert [one.status_code for one in inner] == [429]
    faulty.store.port = faulty.database.fleet_store()
    asked(faulty)


def test_alarms_that_overlap_in_a_chain_are_one_finding() -> None:
    then = [alarm(0, 10), alarm(30, 40)]
    now = [alarm(8, 32, "2"), alarm(50, None, "2")]
    groups = grouped("pump-1", then, now)
    assert [(len(group.then), len(group.now)) for group in groups] == [(2, 1), (0, 1)]
    assert [group.found_by for group in groups] == ["both", "now"]


def test_an_alarm_inside_a_longer_one_does_not_end_it() -> None:
    groups = grouped("pump-1", [alarm(0, 100), alarm(50, 60)], [alarm(80, 90, "2")])
    assert [(len(group.then), len(group.now)) for group in groups] == [(2, 1)]
