"""A server that drips: it goes on answering, so no time-out of a read ends it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue

import pytest

from faultline.adapters.mlflow.artifacts import fetch
from faultline.adapters.mlflow.deadline import Deadline
from faultline.errors import Unavailable

_PATIENCE_S = 30.0
_DEADLINE_S = 0.3
_LISTING = b'{"files": [{"path": "manifest.json", "is_dir": false, "file_size": 1000000}]}'


class Dripping(ThreadingHTTPServer):
    """Lists one file, and sends it a byte at a time for as long as it is let."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ended = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Dripping

    def do_GET(self) -> None:
        listing = "path=" in self.path or self.path.endswith("/artifacts")
        self.send_response(200)
        self.send_header("content-type", "application/json" if listing else "text/plain")
        self.send_header("content-length", str(len(_LISTING) if listing else 1_000_000))
        self.end_headers()
        if listing:
            self.wfile.write(_LISTING)
            return
        while not self.server.ended.wait(0.02):
            self.wfile.write(b" ")
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dripping]:
    # Never reached: something is always heard.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with Dripping() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join(_PATIENCE_S)


def test_a_download_that_drips_is_given_up(dripping: Dripping, tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{dripping.server_address[1]}"
    given_up: list[Unavailable] = []

    def download() -> None:
        try:
            fetch("mlflow-artifacts:/1/model", uri, tmp_path, deadline=Deadline(_DEADLINE_S))
        except Unavailable as error:
            given_up.append(error)

    # In a thread, so that a download that is not given up fails the test and does not hang it.
    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    assert "not done after 0.3 s" in str(given_up[0])


def test_no_more_work_is_left_behind_than_there_is_room_for() -> None:
    deadline = Deadline(0.01, at_once=2)
    ended = threading.Event()
    noticed = threading.Barrier(3)

    def hang(left: threading.Event) -> None:
        ended.wait(_PATIENCE_S)
        assert left.is_set()
        noticed.wait(_PATIENCE_S)

    for _ in range(2):
        with pytest.raises(Unavailable, match="not done after"):
            deadline.run("download", hang)
    with pytest.raises(Unavailable, match="too much hangs"):
        deadline.run("download", hang)
    ended.set()
    noticed.wait(_PATIENCE_S)


def test_what_the_work_returns_or_raises_is_handed_on() -> None:
    deadline = Deadline(_PATIENCE_S, at_once=1)
    for _ in range(3):
        assert deadline.run("download", lambda _: 7) == 7

    def late(_: threading.Event) -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        deadline.run("download", late)


class Interrupted(BaseException):
    """Like a keyboard's interrupt, but in one thread."""


def test_work_is_left_behind_when_whoever_waits_for_it_is_interrupted() -> None:
    waiting = threading.Event()
    told: SimpleQueue[bool] = SimpleQueue()
    interrupted: list[Interrupted] = []

    def hang(left: threading.Event) -> None:
        waiting.set()
        told.put(left.wait(_PATIENCE_S))

    def wait() -> None:
        try:
            Deadline(2 * _PATIENCE_S).run("download", hang)
        except Interrupted as error:
            interrupted.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert waiting.wait(_PATIENCE_S)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted)
    )
    thread.join(_PATIENCE_S / 2)
    assert not thread.is_alive()
    assert len(interrupted) == 1
    assert told.get(timeout=_PATIENCE_S)
