"""From the stream to what the API answers about drift: judged, sampled, told, recorded, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from faultline import drift, topics
from faultline.ports.registry import ModelVersion
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading, make_reading

World = Any
Register = Callable[..., ModelVersion]
URL = "/api/v1/model/drift"


def _readings(rows: int, shift: float) -> list[Reading]:
    values = np.random.default_rng(1).normal(size=(rows, 2))
    values[:, 0] += shift
    return [
        make_reading("pump-1", row * 1_000, {"flow": flow, "heat": heat}, "pump")
        for row, (flow, heat) in enumerate(values.tolist())
    ]


@pytest.fixture
def watched(world: World, register: Register) -> World:
    register(history_rows=3_000)
    world.predictor.loader.refresh()
    return world


def _look(world: World) -> None:
    world.predictor.drift.sample()
    world.predictor.drift.look()
    world.predictor.drift.tell()
    told = [drift.decode(message.value) for message in world.broker.sent(topics.DRIFT_EVENTS.name)]
    world.database.record_store().record(
        "recorder", RecordBatch({}, drift_events=told), lambda _: None
    )


def test_before_the_first_look_there_is_nothing_to_show(watched: World) -> None:
    [answer] = watched.http.get(URL).json()["drift"]
    assert answer == {
        "machine_type": "pump",
        "model": "faultline-pump",
        "version": "1",
        "has_reference": True,
        "looked_at": None,
        "start": None,
        "end": None,
        "readings": 0,
        "machines": 0,
        "drifting": False,
        "findings": [],
    }


def test_what_has_not_changed_is_shown_as_such(watched: World) -> None:
    watched.stream(_readings(600, 0.0))
    _look(watched)
    [answer] = watched.http.get(URL, params={"machine_type": "pump"}).json()["drift"]
    failing = 3
    assert (answer["drifting"], answer["machines"]) == (False, 1)
    assert answer["readings"] == 600 - 2 - failing
    assert (answer["start"], answer["end"]) == (
        "1970-01-01T00:00:02.000Z",
        "1970-01-01T00:09:59.000Z",
    )
    shown = {(one["kind"], one["name"]): one for one in answer["findings"]}
    assert set(shown) == {
        ("sensor", "flow"),
        ("sensor", "heat"),
        ("clusters", "mix"),
        ("score", "distribution"),
        ("score", "level"),
    }
    flow = shown["sensor", "flow"]
    assert flow["excess"] == pytest.approx(flow["statistic"] / flow["threshold"])
    assert watched.http.get(f"{URL}/events").json() == {"events": []}


def test_a_sensor_that_has_shifted_is_shown_and_its_event_stays(watched: World) -> None:
    watched.stream(_readings(600, 1.3))
    _look(watched)
    [answer] = watched.http.get(URL).json()["drift"]
    assert answer["drifting"]
    assert "flow" in {one["name"] for one in answer["findings"] if one["drifting"]}
    assert "heat" not in {one["name"] for one in answer["findings"] if one["drifting"]}
    [event] = watched.http.get(f"{URL}/events", params={"machine_type": "pump"}).json()["events"]
    assert (event["model"], event["version"]) == ("faultline-pump", "1")
    assert "sensor flow" in event["summary"]
    assert "flow" in {one["name"] for one in event["findings"]}
    assert watched.http.get(f"{URL}/events", params={"machine_type": "fan"}).json()["events"] == []


def test_a_type_without_a_model_is_not_found(watched: World) -> None:
    answer = watched.http.get(URL, params={"machine_type": "fan"})
    assert answer.status_code == 404
    assert "fan" in answer.json()["detail"]
