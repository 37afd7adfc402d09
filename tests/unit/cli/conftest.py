"""What the tests of commands share: files, the terminal, and a trainer that is a fake."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from faultline.cli import app
from faultline.errors import FaultlineError
from faultline.readings import Reading, decode, format_timestamp

START_MS = 1_767_225_600_000


def write_csv(path: Path, seed: int, rows: int = 900, fault: slice | None = None) -> Path:
    rng = np.random.default_rng(seed)
    load = np.sin(2 * np.pi * np.arange(rows) / 30)[:, np.newaxis]
    values = 10.0 + load * [3.0, -2.0, 1.0] + 0.1 * rng.normal(size=(rows, 3))
    if fault is not None:
        values[fault, 1] -= 4.0
    lines = ["timestamp,heat,flow,noise,site"]
    lines += [
        f"{format_timestamp(START_MS + 1_000 * row)},{a},{b},{c},north"
        for row, (a, b, c) in enumerate(values.tolist())
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def done(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.output


def failure(*args: object) -> str:
    result = run(*args)
    assert result.exit_code != 0
    if isinstance(result.exception, FaultlineError):
        return str(result.exception)
    return " ".join(result.output.replace("│", " ").split())


class Terminal:
    """The above: a test cannot import it from here."""

    start_ms = START_MS
    write_csv = staticmethod(write_csv)
    done = staticmethod(done)
    failure = staticmethod(failure)


@pytest.fixture(scope="session")
def terminal() -> type[Terminal]:
    return Terminal


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    done("fit", "--input", write_csv(folder / "train.csv", 1), "--model", folder / "model")
    return folder / "model"


@pytest.fixture
def day(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "day.csv", 2, 400, slice(200, 300))


class Trainer(ThreadingHTTPServer):
    """Answers by path, and keeps what it was asked."""

    answers: dict[str, tuple[int, Any]]
    asked: list[tuple[str, Any]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def bodies(self) -> list[dict[str, Any]]:
        """What came with the requests that had anything."""
        return [body for _, body in self.asked if body is not None]


class Handler(BaseHTTPRequestHandler):
    server: Trainer

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def _answer(self, body: Any) -> None:
        self.server.asked.append((self.path, body))
        status, answer = self.server.answers.get(
            self.path.partition("?")[0], (404, {"detail": "there is no such model"})
        )
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def trainer() -> Iterator[Trainer]:
    with Trainer(("127.0.0.1", 0), Handler) as server:
        server.answers = {}
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Gateway:
    """Accepts readings as the real one does, and keeps them."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.heard = threading.Event()
        self.answer = 202
        gateway = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if gateway.answer == 202:
                    gateway.readings.extend(decode(body).readings)
                self.send_response(gateway.answer)
                content = b'{"detail": "the type is unknown"}'
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                gateway.heard.set()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    thread = threading.Thread(target=gateway.server.serve_forever, args=(0.01,))
    thread.start()
    yield gateway
    gateway.server.shutdown()
    gateway.server.server_close()
    thread.join()
