"""`POST /invocations`, as clients of `mlflow models serve` know it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.deployments import PredictionsResponse
from mlflow.utils.proto_json_utils import dump_input_data

from faultline.judge import EVERYTHING, judge
from faultline.readings import Reading, make_reading

World = Any
Register = Callable[..., Any]
MACHINE = "pump/7 ü"
STEP_MS = 1_000


@pytest.fixture
def world(world: World, register: Register) -> World:
    register()
    world.predictor.loader.refresh()
    return world


def readings(count: int, start: int = 0) -> list[Reading]:
    rng = np.random.default_rng(start)
    values = rng.normal(size=(count, 2)) * (1.0, 0.3)
    return [
        make_reading(MACHINE, row * STEP_MS, {"flow": flow, "heat": heat}, "pump")
        for row, (flow, heat) in enumerate(values.tolist(), start)
    ]


def frame(rows: Sequence[Reading], **columns: Any) -> pd.DataFrame:
    return pd.DataFrame([each.sensors for each in rows]).assign(**columns)


def timed(rows: Sequence[Reading]) -> pd.DataFrame:
    times = pd.to_datetime([each.timestamp_ms for each in rows], unit="ms", utc=True)
    return frame(rows, machine_id=MACHINE, machine_type="pump", timestamp=times)


def invoke(
    world: World, body: str | bytes, content_type: str = "application/json", **query: str
) -> Any:
    return world.http.post(
        "/invocations", content=body, headers={"content-type": content_type}, params=query
    )


def predictions(world: World, data: Any, **query: str) -> list[dict[str, Any]]:
    answer = invoke(world, data if isinstance(data, str) else dump_input_data(data), **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


def expected(world: World, rows: Sequence[Reading]) -> list[dict[str, Any]]:
    """What the stream says of these rows."""
    model = world.predictor.slot.model("pump")
    judged = judge(model, None, rows, world.settings.alarm_policy(), EVERYTHING)
    return [
        {
            "score": None if each.score is None else pytest.approx(each.score, rel=1e-9),
            "status": str(each.status),
            "cluster": each.cluster,
            "known": each.known,
            "top_sensor": each.contributions[0].sensor if each.contributions else None,
            "top_share": pytest.approx(each.contributions[0].share) if each.contributions else None,
            "model_version": "1",
        }
        for each in judged.batch.verdicts
    ]


FORMS = {
    "split": lambda rows: dump_input_data(timed(rows)),
    "records": lambda rows: json.dumps(
        {
            "dataframe_records": [
                {**each.sensors, "timestamp": each.timestamp_ms, "machine_id": MACHINE}
                for each in rows
            ]
        }
    ),
    "instances": lambda rows: json.dumps(
        {
            "instances": json.loads(
                timed(rows).to_json(orient="records", date_format="iso", double_precision=15)
            )
        }
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_judged_as_the_stream_judges_them(world: World, form: str) -> None:
    rows = readings(12)
    assert predictions(world, FORMS[form](rows)) == expected(world, rows)


def test_columns_are_judged_as_the_stream_judges_them(world: World) -> None:
    rows = readings(12)
    columns = {
        "timestamp": [each.timestamp_ms for each in rows],
        **{name: [each.sensors[name] for each in rows] for name in ("flow", "heat")},
    }
    body = json.dumps({"inputs": columns, "params": {"machine_type": "pump"}})
    assert predictions(world, body) == expected(world, rows)


def test_a_csv_file_is_judged_as_the_stream_judges_it(world: World) -> None:
    rows = readings(12)
    answer = invoke(world, timed(rows).to_csv(index=False), "text/csv; charset=utf-8")
    assert answer.json()["predictions"] == expected(world, rows)


def test_epochs_in_a_csv_file_are_milliseconds(world: World) -> None:
    rows = readings(4)
    table = frame(rows, timestamp=[each.timestamp_ms for each in rows])
    answer = invoke(world, table.to_csv(), "text/csv", machine_type="pump")
    assert answer.json()["predictions"] == expected(world, rows)


def test_cells_without_names_or_times_are_the_models_sensors_in_close_succession(
    world: World,
) -> None:
    rows = readings(12)
    values = np.array([list(each.sensors.values()) for each in rows])
    assert predictions(world, values) == expected(world, rows)


def test_a_missing_value_is_one_whether_sent_as_nan_or_null(world: World) -> None:
    table = frame(readings(4)).round(3).assign(heat=[0.1, np.nan, 0.2, np.nan])
    as_null = json.dumps({"dataframe_split": json.loads(table.to_json(orient="split"))})
    assert "NaN" in dump_input_data(table)
    assert predictions(world, table) == predictions(world, as_null)


def test_a_machine_that_is_streamed_goes_on_from_its_window_and_keeps_it(world: World) -> None:
    rows = readings(6)
    with world.streaming(rows[:3]):
        once = predictions(world, timed(rows[3:]))
        again = predictions(world, timed(rows[3:]))
        without_times = predictions(world, frame(rows[3:]), machine_id=MACHINE)
    assert once == again == expected(world, rows)[3:]
    assert [each["score"] for each in without_times] == [each["score"] for each in once]


def test_rows_that_name_no_machine_are_of_a_new_one(world: World) -> None:
    rows = readings(3)
    with world.streaming(rows):
        statuses = [each["status"] for each in predictions(world, frame(rows))]
    assert statuses == ["warming_up", "warming_up", "normal"]


def test_machines_of_one_table_have_windows_of_their_own(world: World) -> None:
    rows = readings(3)
    table = frame([*rows, *rows], machine_id=["a"] * 3 + ["b"] * 3)
    statuses = [each["status"] for each in predictions(world, table)]
    assert statuses == ["warming_up", "warming_up", "normal"] * 2


def test_a_type_without_a_model_is_answered_no_model(world: World) -> None:
    (answer,) = predictions(world, frame(readings(1)), machine_type="fan")
    assert (answer["status"], answer["score"], answer["model_version"]) == ("no_model", None, None)


def test_a_type_without_a_model_is_told_once_with_those_that_have_one(world: World) -> None:
    rows = dump_input_data(frame(readings(3)))
    absent = invoke(world, rows, machine_type="fan").json()
    assert absent["no_model"] == ["no version of machine type 'fan' in Production; there are: pump"]
    judged = invoke(world, rows, machine_type="pump").json()
    assert "no_model" not in judged


def test_params_name_type_and_machine_and_go_before_the_query(world: World) -> None:
    body = dump_input_data(frame(readings(3)), params={"machine_type": "pump", "machine_id": "a"})
    assert predictions(world, body, machine_type="fan")[-1]["status"] == "normal"


def test_a_column_of_text_that_is_no_sensor_of_the_model_is_passed_over(world: World) -> None:
    rows = readings(4)
    assert predictions(world, frame(rows, remark="as usual")) == expected(world, rows)


def test_mlflows_own_client_reads_the_answer(world: World) -> None:
    answer = invoke(world, dump_input_data(frame(readings(4))))
    table = PredictionsResponse.from_json(answer.text).get_predictions()
    assert list(table.columns) == [
        "score", "status", "cluster", "known", "top_sensor", "top_share", "model_version",
    ]  # fmt: skip
    assert len(table) == 4


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ("{", 400, "no valid JSON"),
        ('{"inputs": []}', 400, "no rows"),
        ('{"inputs": [[1, 2, 3]]}', 400, "has 2 sensors: flow, heat"),
        ('{"dataframe_records": [{"flow": 1}, {"flow": "x"}]}', 400, "row 1: sensors.flow: 'x'"),
        ('{"dataframe_records": [{"flow": 1e101}]}', 400, "row 0: sensors.flow: 1e+101"),
        ('{"dataframe_records": [{"flow": 1, "machine_id": 7}]}', 400, "machine_id: 7.0 must be"),
        ('{"dataframe_records": [{"flow": 1, "timestamp": null}]}', 400, "timestamp: is missing"),
        ('{"dataframe_records": [{"flow": 1, "timestamp": "noon"}]}', 400, "'noon'"),
        ('{"dataframe_records": [{"timestamp": 1}]}', 400, "sensors: 0 given"),
        ('{"inputs": [[1, 2]], "params": {"k": "v"}}', 400, "'k' is not known"),
        ('{"inputs": [[1, 2]], "params": {"machine_type": "fan"}}', 400, "none of 'fan' is loaded"),
        ('{"inputs": [[1, 2]], "params": {"machine_id": "\\u0000"}}', 400, "machine_id"),
        ("x" * 20_001, 413, "more than 20000 bytes"),
    ],
)
def test_what_cannot_be_judged_is_a_problem_in_mlflows_words_too(
    world: World, body: str, status: int, why: str
) -> None:
    answer = invoke(world, body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["error_code"] == "BAD_REQUEST"
    assert told["message"] == told["detail"]
    assert why in told["detail"]


@pytest.mark.parametrize(
    "content_type", ["application/vnd.apache.parquet", "text/csv; charset=latin-1", "text/csv; x=1"]
)
def test_what_is_neither_json_nor_csv_in_utf8_is_not_supported(
    world: World, content_type: str
) -> None:
    answer = invoke(world, b"a\n1\n", content_type)
    assert answer.status_code == 415
    assert "not supported" in answer.json()["detail"]


def test_mlflows_clients_find_the_server_ready(world: World) -> None:
    assert world.http.get("/ping").status_code == 200


def test_a_caller_who_went_away_is_no_fault_of_ours(world: Any) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/invocations",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    asyncio.run(world.predictor.app(scope, receive, send))
    assert sent[0]["status"] == HTTPStatus.BAD_REQUEST
