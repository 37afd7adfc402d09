"""The predictor over HTTP, put together as in the service, on ports in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from faultline import alarms as alarm_codec
from faultline import topics, verdicts
from faultline.errors import Unavailable
from faultline.judge import EVERYTHING, judge
from faultline.ports.registry import ModelVersion
from faultline.readings import Reading, encode_batch, format_timestamp, make_reading
from faultline.verdicts import Status, Verdict
from faultline.web import equip
from services.predictor import prediction_answers
from services.predictor.api import routes
from services.predictor.metrics import Metrics
from services.predictor.predicting import Predictions

Register = Callable[..., ModelVersion]
MACHINE = "pump/7 ü"
World = Any
"""The fixture's class, in conftest."""


def _rows(count: int, start: int = 0, faulty: range = range(0)) -> list[Reading]:
    rng = np.random.default_rng(start)
    readings = []
    for row in range(start, start + count):
        value = -9.0 if row in faulty else 0.3 * float(rng.normal())
        readings.append(
            make_reading(MACHINE, row * 1_000, {"flow": value, "heat": value / 3}, "pump")
        )
    return readings


def _predict(world: World, readings: Sequence[Reading]) -> list[dict[str, Any]]:
    answer = world.http.post("/api/v1/predict", content=encode_batch(readings))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


# Predict ---------------------------------------------------------------------------------------


def test_a_machine_type_without_a_model_is_answered_no_model(world: World) -> None:
    (answer,) = _predict(world, _rows(1))
    assert answer["status"] == "no_model"
    assert answer["model_version"] is None
    assert answer["why"] == "no version of machine type 'pump' in Production; there are: none"


def test_one_reading_may_be_sent_without_an_array(world: World) -> None:
    reading = {"machine_id": "a", "timestamp": 0, "sensors": {"flow": 1.0}}
    answer = world.http.post("/api/v1/predict", json=reading)
    assert [each["machine_id"] for each in answer.json()["predictions"]] == ["a"]


def test_a_prediction_names_its_version_and_every_sensor(world: World, register: Register) -> None:
    register()
    world.predictor.loader.refresh()
    answer = _predict(world, _rows(3))[-1]
    assert (answer["model_name"], answer["model_version"]) == ("faultline-pump", "1")
    assert answer["timestamp"] == "1970-01-01T00:00:02.000Z"
    assert {part["sensor"] for part in answer["contributions"]} == {"flow", "heat"}
    assert sum(part["share"] for part in answer["contributions"]) == pytest.approx(1.0)


def test_a_prediction_says_in_a_sentence_which_sensor_it_is(
    world: World, register: Register
) -> None:
    register()
    world.predictor.loader.refresh()
    readings = [
        make_reading(MACHINE, 1_000 * row, {"flow": -9.0, "heat": 0.0}, "pump") for row in range(3)
    ]
    warming_up, _, failing = _predict(world, readings)
    assert warming_up["why"] is None
    assert failing["why"] == f"{MACHINE}: flow -9, expected -2 to 2 (100 % of the deviation)"
    assert failing["contributions"][0]["expected_low"] == -2.0


def test_the_answer_is_what_the_documentation_says(world: World, register: Register) -> None:
    register()
    world.predictor.loader.refresh()
    answer = world.http.post("/api/v1/predict", content=encode_batch(_rows(3)))
    documented = prediction_answers.Predictions.model_validate(answer.json())
    assert documented.model_dump(mode="json") == answer.json()


def test_a_known_machine_goes_on_from_its_live_window_and_keeps_it(
    world: World, register: Register
) -> None:
    register()
    world.predictor.loader.refresh()
    with world.streaming(_rows(3)):
        answers = [_predict(world, _rows(1, start=3)) for _ in range(2)]
    assert [[each["status"] for each in answer] for answer in answers] == [["normal"]] * 2


def test_a_reading_that_breaks_the_format_is_named_and_nothing_is_judged(world: World) -> None:
    body = encode_batch(_rows(1))[:-1] + b',{"machine_id":"a","timestamp":0,"sensors":{}}]'
    answer = world.http.post("/api/v1/predict", content=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [
        {"index": 1, "reason": "sensors: 0 given, must be 1 to 1024"}
    ]


def test_a_body_that_is_no_json_is_a_problem(world: World) -> None:
    answer = world.http.post("/api/v1/predict", content=b"{")
    assert answer.status_code == 422
    assert "not valid JSON" in answer.json()["detail"]


def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    answer = world.http.post("/api/v1/predict", content=b"x" * 20_001)
    assert answer.status_code == 413


def test_stream_http_and_one_batch_agree(world: World, register: Register) -> None:
    register()
    world.predictor.loader.refresh()
    model = world.predictor.slot.model("pump")
    readings = _rows(60, faulty=range(20, 32))
    policy = world.settings.alarm_policy()

    batch = judge(model, None, readings, policy, EVERYTHING)
    over_http = _predict(world, readings)
    world.stream(readings)
    streamed = [
        verdict
        for message in world.broker.sent(topics.VERDICTS.name)
        for verdict in verdicts.decode(message.value).verdicts
    ]
    events = [alarm_codec.decode(m.value) for m in world.broker.sent(topics.ALARMS.name)]

    def seen(given: Sequence[Verdict]) -> list[tuple[str, Status, Any]]:
        return [
            (
                format_timestamp(verdict.timestamp_ms),
                verdict.status,
                None if verdict.score is None else pytest.approx(verdict.score, rel=1e-9),
            )
            for verdict in given
        ]

    assert [(each["timestamp"], each["status"], each["score"]) for each in over_http] == seen(
        batch.batch.verdicts
    )
    assert seen(streamed) == seen(batch.batch.verdicts)
    assert [event.event_id for event in events] == [event.event_id for event in batch.alarm_events]
    assert len(events) >= 2


# Models ----------------------------------------------------------------------------------------


def test_without_models_the_list_of_models_is_empty(world: World) -> None:
    assert world.http.get("/api/v1/model").json() == {"models": []}


def test_the_model_of_a_type_says_its_version_and_what_it_looks_at(
    world: World, register: Register
) -> None:
    register()
    world.predictor.loader.refresh()
    (model,) = world.http.get("/api/v1/model", params={"machine_type": "pump"}).json()["models"]
    assert model == {
        "machine_type": "pump",
        "name": "faultline-pump",
        "version": "1",
        "loaded_since": "2027-01-15T08:16:40.000Z",
        "source": "registry",
        "sensors": ["flow", "heat"],
        "window_rows": 3,
        "refused": [],
    }


def test_a_refused_version_is_shown_with_its_reason(world: World, register: Register) -> None:
    register(bundle_type="fan")
    world.predictor.loader.refresh()
    (model,) = world.http.get("/api/v1/model").json()["models"]
    assert model["version"] is None
    assert [(each["version"], "'fan'" in each["reason"]) for each in model["refused"]] == [
        ("1", True)
    ]


def test_a_type_without_a_model_is_not_found(world: World) -> None:
    answer = world.http.get("/api/v1/model", params={"machine_type": "fan"})
    assert answer.status_code == 404
    assert "'fan'" in answer.json()["detail"]


# Lists -----------------------------------------------------------------------------------------


@pytest.fixture
def stored(world: World, register: Register) -> World:
    register()
    world.predictor.loader.refresh()
    world.stream(_rows(60, faulty=range(20, 32)))
    world.store()
    return world


def test_machines_are_listed_with_their_last_verdict(stored: World) -> None:
    (machine,) = stored.http.get("/api/v1/machines").json()["machines"]
    assert (machine["machine_id"], machine["readings"]) == (MACHINE, 60)
    assert machine["last_verdict"]["timestamp"] == "1970-01-01T00:00:59.000Z"
    assert machine["last_verdict"]["model_version"] == "1"


def test_machines_of_another_type_are_left_out(stored: World) -> None:
    answer = stored.http.get("/api/v1/machines", params={"machine_type": "fan"})
    assert answer.json() == {"machines": []}


@pytest.mark.parametrize("path", ["pump/7 ü", "pump%2F7%20%C3%BC"])
def test_a_machine_is_found_by_an_id_with_any_characters(stored: World, path: str) -> None:
    assert stored.http.get(f"/api/v1/machines/{path}").json()["machine_id"] == MACHINE


def test_a_machine_that_does_not_exist_is_not_found(stored: World) -> None:
    for path in ("/api/v1/machines/none", "/api/v1/machines/none/verdicts"):
        assert stored.http.get(path).status_code == 404


def test_verdicts_come_newest_first_within_a_limit(stored: World) -> None:
    answer = stored.http.get(f"/api/v1/machines/{MACHINE}/verdicts", params={"limit": 2}).json()
    assert answer["machine_id"] == MACHINE
    assert [each["timestamp"] for each in answer["verdicts"]] == [
        "1970-01-01T00:00:59.000Z",
        "1970-01-01T00:00:58.000Z",
    ]


@pytest.mark.parametrize(
    ("start", "end"), [("1970-01-01T00:00:10Z", "1970-01-01T00:00:12Z"), ("10000", "12000")]
)
def test_verdicts_can_be_asked_for_by_time(stored: World, start: str, end: str) -> None:
    answer = stored.http.get(
        f"/api/v1/machines/{MACHINE}/verdicts", params={"start": start, "end": end}
    )
    assert [each["timestamp"][17:19] for each in answer.json()["verdicts"]] == ["11", "10"]


def test_verdicts_say_why_where_they_have_contributions(stored: World) -> None:
    answer = stored.http.get(f"/api/v1/machines/{MACHINE}/verdicts").json()
    why = {each["status"]: each["why"] for each in answer["verdicts"]}
    assert why["failure"].startswith(f"{MACHINE}: flow ")
    assert why["warming_up"] is None


def test_verdicts_can_be_asked_for_by_status(stored: World) -> None:
    answer = stored.http.get(
        f"/api/v1/machines/{MACHINE}/verdicts", params={"status": "warming_up"}
    )
    assert [each["timestamp"][17:19] for each in answer.json()["verdicts"]] == ["01", "00"]


def test_no_verdicts_of_a_known_machine_are_an_empty_list(stored: World) -> None:
    answer = stored.http.get(f"/api/v1/machines/{MACHINE}/verdicts", params={"status": "late"})
    assert answer.json() == {"machine_id": MACHINE, "verdicts": []}


def test_a_time_that_is_none_is_a_problem(stored: World) -> None:
    answer = stored.http.get(f"/api/v1/machines/{MACHINE}/verdicts", params={"start": "yesterday"})
    assert answer.status_code == 422
    assert "yesterday" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        f"machines/x/verdicts?start={'9' * 5_000}",
        "machines/%00",
        "machines/%00/verdicts",
        "machines?machine_type=%00",
        "alarms?machine_id=%00",
    ],
)
def test_what_no_store_could_be_asked_for_is_a_problem(world: World, path: str) -> None:
    answer = world.http.get(f"/api/v1/{path}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_alarms_say_when_how_bad_and_which_sensors(stored: World) -> None:
    (alarm,) = stored.http.get("/api/v1/alarms").json()["alarms"]
    assert alarm["machine_id"] == MACHINE
    assert alarm["state"] == "closed"
    assert alarm["began_at"] < alarm["opened_at"] < alarm["closed_at"]
    assert alarm["peak_score"] > 1.0
    assert alarm["top_sensors"][0]["sensor"] == "flow"
    assert alarm["why"].startswith(f"{MACHINE}: flow ")
    assert alarm["model_version"] == "1"


def test_alarms_can_be_asked_for_by_state_and_machine(stored: World) -> None:
    for params in ({"state": "open"}, {"machine_id": "another"}):
        assert stored.http.get("/api/v1/alarms", params=params).json() == {"alarms": []}


def test_a_state_that_is_none_is_a_problem(stored: World) -> None:
    assert stored.http.get("/api/v1/alarms", params={"state": "shut"}).status_code == 422


def test_while_the_store_is_down_lists_say_so(stored: World) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("the database does not answer")

    app = FastAPI()
    predictions = Predictions(
        stored.predictor.fleet.predict, stored.predictor.slot.absence, 1_000, Metrics()
    )
    app.include_router(routes(predictions, stored.predictor.slot, dict, Down()))
    equip(app, {}, CollectorRegistry())
    answer = TestClient(app).get("/api/v1/machines")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


# Health, metrics, documentation ----------------------------------------------------------------


def test_it_is_not_ready_before_it_has_joined_the_group(world: World) -> None:
    answer = world.http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["stream"] == "not yet a member of the consumer group"


def test_it_is_ready_without_a_model(world: World) -> None:
    with world.streaming(_rows(1)):
        answer = world.http.get("/health/ready")
    assert answer.status_code == 200


def test_without_the_database_it_is_not_ready(world: World) -> None:
    world.database_trouble = "connection refused"
    with world.streaming(_rows(1)):
        answer = world.http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "connection refused"


def test_metrics_count_verdicts_by_version_and_name_no_machine(stored: World) -> None:
    shown = stored.http.get("/metrics").text
    assert (
        'faultline_predictor_verdicts_total{model="faultline-pump",status="warming_up",'
        'version="1"} 2.0' in shown
    )
    assert 'faultline_predictor_readings_total{outcome="judged"} 60.0' in shown
    assert (
        'faultline_predictor_model_info{model="faultline-pump",source="registry",version="1"} 1.0'
        in shown
    )
    assert MACHINE not in shown


def test_every_operation_is_described_with_an_example(world: World) -> None:
    document = world.http.get("/openapi.json").json()
    operations = {
        path: operation
        for path, methods in document["paths"].items()
        for operation in methods.values()
    }
    assert {path for path in operations if path.startswith("/api")} == {
        "/api/v1/predict",
        "/api/v1/model",
        "/api/v1/model/comparison",
        "/api/v1/model/drift",
        "/api/v1/model/drift/events",
        "/api/v1/machines",
        "/api/v1/machines/{machine_id}",
        "/api/v1/machines/{machine_id}/verdicts",
        "/api/v1/alarms",
        "/api/v1/stream",
    }
    assert [path for path, operation in operations.items() if not operation["description"]] == []
    assert set(operations["/invocations"]["requestBody"]["content"]) == {
        "application/json",
        "text/csv",
    }
    example = operations["/api/v1/predict"]["requestBody"]["content"]["application/json"]
    assert example["examples"]["one"]["value"]["machine_id"] == "pump-07"
