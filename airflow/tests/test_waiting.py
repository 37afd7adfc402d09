from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

_PATIENCE_S = 60


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, str]]]:
    """What a trainer answers in turn: status and the job's state."""
    left: list[tuple[int, str]] = []

    class Trainer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, state = left.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"state": state}).encode() if state else b"out of order")

    with HTTPServer(("127.0.0.1", 0), Trainer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(
            "AIRFLOW_CONN_FAULTLINE_TRAINER", f"http://127.0.0.1:{server.server_port}"
        )
        yield left
        server.shutdown()


async def _wait() -> object:
    from model_lifecycle.waiting import TrainingEnded

    events = aiter(TrainingEnded("7", poll_s=0).run())
    return await asyncio.wait_for(anext(events), _PATIENCE_S)


def test_a_training_is_waited_for_also_while_its_trainer_is_out_of_order(
    airflow_database: None, answers: list[tuple[int, str]]
) -> None:
    answers += [(200, "queued"), (503, ""), (200, "running"), (200, "succeeded"), (200, "spare")]
    event = asyncio.run(_wait())
    assert event.payload == "7"  # type: ignore[attr-defined]
    assert answers == [(200, "spare")]


def test_a_training_that_is_not_known_is_not_waited_for(
    airflow_database: None, answers: list[tuple[int, str]]
) -> None:
    answers += [(404, ""), (200, "spare")]
    asyncio.run(_wait())
    assert answers == [(200, "spare")]


@pytest.mark.parametrize(
    ("state", "error", "nothing"),
    [
        ("failed", "no readings of machine type 'pump' in the time range; widen it", True),
        ("failed", "no readings of machine type 'pump'; there are some of: fan", False),
        ("failed", "too few rows", False),
        ("cancelled", None, False),
        ("succeeded", None, False),
    ],
)
def test_only_a_time_range_without_readings_is_nothing_to_learn_from(
    state: str, error: str | None, nothing: bool
) -> None:
    from model_lifecycle.trainer import found_nothing

    assert found_nothing({"state": state, "error": error}) is nothing


def test_the_triggerer_makes_the_same_wait_again(airflow_database: None) -> None:
    from airflow.sdk.module_loading import import_string

    from model_lifecycle.waiting import TrainingEnded

    path, given = TrainingEnded("7", poll_s=2).serialize()
    assert import_string(path)(**given).serialize() == (path, given)
