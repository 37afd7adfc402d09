"""The benchmark of predictions over HTTP: its load generator and its table."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench import http_load
from bench.predict_speed import (
    FASTAPI,
    FAULTLINE,
    MLFLOW_SAME,
    MLSERVER,
    Measured,
    contenders,
    report,
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200 if json.loads(body)["good"] else 422)
        # In parts, as a large answer comes.
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"an")
        self.wfile.flush()
        self.wfile.write(b"sw")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@contextmanager
def server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            yield serving.server_address[1]
        finally:
            serving.shutdown()
            thread.join()


@pytest.mark.parametrize("good", [True, False])
def test_answers_are_counted_by_whether_they_are_good(
    good: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"good": good}))
    with server() as port:
        http_load.main(["127.0.0.1", str(port), "/x", str(body), "2", "0.05"])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["answered"] > 0, told["bad"] > 0) == (good, not good)
    assert len(told["times_ms"]) == told["answered"]


def turns(*per_cpu_s: float) -> list[Measured]:
    return [Measured(each, each / 2, 1.0, 2.0) for each in per_cpu_s]


def test_a_ratio_is_the_median_of_those_within_each_round() -> None:
    # The machine was half as fast in the second round: the ratios of the rounds are alike.
    text = report(
        {
            FAULTLINE: turns(4_000, 2_000, 4_400),
            MLFLOW_SAME: turns(200, 100, 220),
            FASTAPI: turns(2_000, 1_000, 2_200),
            MLSERVER: "not installed",
        }
    )
    assert f"aim met: 20.0 times {MLFLOW_SAME}; at least 10" in text
    assert f"aim MISSED: 2.0 times {FASTAPI}; at least 4" in text
    assert "not installed" in text
    assert f"times {MLSERVER}" not in text


def test_the_contenders_are_asked_for_the_same_values() -> None:
    own, mlflow, _, mlserver, fastapi = contenders(Path("somewhere"), 1, None)
    values = list(own.body["sensors"].values())
    assert list(fastapi.body["sensors"].values()) == values
    assert list(mlflow.body["dataframe_records"][0].values()) == values
    assert mlserver.body["inputs"][0]["data"] == values
    assert mlserver.command is None
