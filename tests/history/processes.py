"""A service as a process that is killed, frozen and started again, always at the same address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.1


def until(done: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(_LOOK_EVERY_S)


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process and its children stand still in the block."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    try:
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        yield
    finally:
        for one in reversed(family):
            with suppress(psutil.NoSuchProcess):
                one.resume()


class Service:
    """One process of ours.

    Parameters
    ----------
    name
        Names its log and its port's variable.
    command
        The module to run and its arguments.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self._command = command
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        service = name.partition("-")[0].upper()
        self._environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            **environment,
            f"FAULTLINE_{service}_PORT": str(port),
        }
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command], env=self._environment, stderr=log
            )

    def wait(self) -> None:
        """Wait until it is ready."""
        until(self.is_ready, f"a {self.name} that is ready: see {self._log}")

    def is_ready(self) -> bool:
        """Whether it says that it does its work; fails when it has ended by itself."""
        assert self._running.poll() is None, f"the {self.name} ended: {self._log.read_text()}"
        try:
            answer = httpx.get(f"{self.url}/health/ready", trust_env=False, timeout=10.0)
        except httpx.TransportError:
            return False
        return answer.is_success

    @property
    def pid(self) -> int:
        return self._running.pid

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def restart(self) -> None:
        """Start it anew and wait until it is ready."""
        self.start()
        self.wait()

    def stop(self) -> None:
        """Have it end by itself, in good order."""
        self._running.send_signal(signal.SIGTERM)
        assert self._running.wait(60) == 0, f"the {self.name} did not end well"

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process
