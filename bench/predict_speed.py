"""How many predictions over HTTP a second of CPU gives, beside other ways to serve the same model.

Each server is a process of its own with one worker; a load generator in another process sends the
same reading over and over. Requests are counted per second of the server's CPU, as the machine is
shared: the ratios within one run mean something, and latencies only on a quiet machine.
Run `python -m bench.predict_speed --help`; bench/README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from bench.predict_servers import LIVE_ROWS, NAMES, prepare, reading, write_mlserver_settings
from bench.synthetic import SENSORS, running_machine
from bench.table import table
from faultline.readings import encode

HOST = "127.0.0.1"
FAULTLINE = "Faultline, POST /api/v1/predict"
MLFLOW_SAME = "mlflow models serve, Faultline's version"
MLFLOW = "mlflow models serve, scikit-learn distance"
MLSERVER = "MLServer, scikit-learn"
FASTAPI = "FastAPI, pydantic, scikit-learn"
LEAST_TIMES = {MLFLOW_SAME: 10.0, MLFLOW: 10.0, MLSERVER: 5.0, FASTAPI: 4.0}
"""What is aimed at: so many times the requests per second of CPU."""

_START_S = 90.0
_STOP_S = 15.0
_CONNECTIONS = 8


@dataclass(frozen=True)
class Contender:
    """A server, and what to ask it.

    Attributes
    ----------
    command
        Its command line; None where it is not installed.
    ready
        In the answer of a server that has finished its start.
    """

    name: str
    command: Sequence[str] | None
    path: str
    body: Mapping[str, Any]
    ready: bytes = b""


@dataclass(frozen=True)
class Measured:
    """One turn. Requests per second of CPU at some connections, latencies at one."""

    per_cpu_s: float
    per_s: float
    p50_ms: float
    p99_ms: float


def contenders(folder: Path, port: int, mlserver: str | None) -> list[Contender]:
    """All of them, serving what is in the folder at this port."""
    own = [sys.executable, "-m", "bench.predict_servers"]
    mlflow = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    at = ["--host", HOST, "--port", str(port), "--workers", "1"]
    values = running_machine(LIVE_ROWS + 1, seed=2).tolist()[-1]
    next_reading = json.loads(encode(reading(LIVE_ROWS, values)))
    named = dict(zip(NAMES, values, strict=True))
    tensor = {"name": "x", "shape": [1, SENSORS], "datatype": "FP64", "data": values}
    return [
        Contender(
            FAULTLINE,
            [*own, "faultline", str(folder), str(port)],
            "/api/v1/predict",
            next_reading,
            # It goes on from the machine's live window: without one it would be warming up.
            b'"status":"normal"',
        ),
        Contender(
            MLFLOW_SAME,
            [*mlflow, "--model-uri", str(folder / "faultline_mlflow"), *at],
            "/invocations",
            {"dataframe_records": [named]},
        ),
        Contender(
            MLFLOW,
            [*mlflow, "--model-uri", str(folder / "distance_mlflow"), *at],
            "/invocations",
            {"dataframe_records": [named]},
        ),
        Contender(
            MLSERVER,
            None if mlserver is None else [mlserver, "start", str(folder)],
            "/v2/models/distance/infer",
            {"inputs": [tensor], "outputs": [{"name": "transform"}]},
        ),
        Contender(FASTAPI, [*own, "fastapi", str(folder), str(port)], "/predict", next_reading),
    ]


@contextmanager
def running(contender: Contender, folder: Path, port: int) -> Iterator[psutil.Process]:
    """Start a server, wait for its first answer, and end it with all that it has started."""
    assert contender.command is not None
    environ = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        # MLflow calls its server by name, in a shell.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    with (folder / "server.log").open("w") as log:
        started = subprocess.Popen(contender.command, env=environ, stdout=log, stderr=log)
    server = psutil.Process(started.pid)
    try:
        _wait_for_answer(contender, started, folder, port)
        yield server
    finally:
        _end(server)
        started.wait(_STOP_S)


def _wait_for_answer(
    contender: Contender, started: subprocess.Popen[bytes], folder: Path, port: int
) -> None:
    request = urllib.request.Request(
        f"http://{HOST}:{port}{contender.path}",
        json.dumps(contender.body).encode(),
        {"Content-Type": "application/json"},
    )
    until_s = time.monotonic() + _START_S
    answer: object = None
    while started.poll() is None and time.monotonic() < until_s:
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                body = answer = response.read()
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            answer = error
        else:
            if contender.ready in body:
                return
        time.sleep(0.2)
    told = (folder / "server.log").read_text()[-2_000:]
    raise RuntimeError(f"{contender.name} is not ready: {answer!r}\n{told}")


def _tree(server: psutil.Process) -> list[psutil.Process]:
    try:
        return [server, *server.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _end(server: psutil.Process) -> None:
    processes = _tree(server)
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            try:
                ask(process)
            except psutil.NoSuchProcess:
                continue
        _, processes = psutil.wait_procs(processes, timeout=_STOP_S)
        if not processes:
            return


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def load(
    contender: Contender, folder: Path, port: int, connections: int, seconds: float
) -> dict[str, Any]:
    """Let the load generator send for some time; raises `RuntimeError` on a bad answer."""
    body = folder / "body.json"
    body.write_text(json.dumps(contender.body))
    command = [
        sys.executable, "-m", "bench.http_load",
        HOST, str(port), contender.path, str(body), str(connections), str(seconds),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if found["bad"] or not found["answered"]:
        raise RuntimeError(f"{contender.name}: {found['bad']} bad answers")
    return found


def measure(contender: Contender, folder: Path, port: int, seconds: float) -> Measured:
    """One turn of a contender, from its start to its end."""
    with running(contender, folder, port) as server:
        load(contender, folder, port, _CONNECTIONS, seconds / 2)
        times_ms = load(contender, folder, port, 1, seconds / 2)["times_ms"]
        processes = _tree(server)
        before_s = _cpu_s(processes)
        answered = load(contender, folder, port, _CONNECTIONS, seconds)["answered"]
        spent_s = _cpu_s(processes) - before_s
    return Measured(
        per_cpu_s=answered / spent_s,
        per_s=answered / seconds,
        p50_ms=times_ms[len(times_ms) // 2],
        p99_ms=times_ms[len(times_ms) * 99 // 100],
    )


def report(found: Mapping[str, Sequence[Measured] | str]) -> str:
    """Lay out the medians, and how Faultline stands to each aim.

    A ratio is the median of those within each round.
    """
    rows: list[list[str]] = []
    aims: list[str] = []
    own = found[FAULTLINE]
    assert not isinstance(own, str)
    for name, turns in found.items():
        if isinstance(turns, str):
            rows.append([name, turns, *[""] * 5])
            continue
        times = statistics.median(
            one.per_cpu_s / other.per_cpu_s for one, other in zip(own, turns, strict=True)
        )
        least = LEAST_TIMES.get(name)
        rows.append(
            [
                name,
                f"{_median(turns, 'per_cpu_s'):,.0f}",
                f"{1e6 / _median(turns, 'per_cpu_s'):,.0f}",
                f"{_median(turns, 'per_s'):,.0f}",
                f"{_median(turns, 'p50_ms'):.2f}",
                f"{_median(turns, 'p99_ms'):.2f}",
                "" if least is None else f"{times:.1f}",
            ]
        )
        if least is not None:
            is_met = "met" if times >= least else "MISSED"
            aims.append(f"aim {is_met}: {times:.1f} times {name}; at least {least:g}")
    header = [
        "one prediction over HTTP", "requests per CPU s", "CPU us", "requests/s",
        "p50 ms", "p99 ms", "Faultline is times",
    ]  # fmt: skip
    note = (
        f"{SENSORS} sensors, one worker each; throughput and CPU at {_CONNECTIONS} connections, "
        f"latency at one; medians of {len(own)}."
    )
    return "\n".join([table(header, rows), "", note, *aims])


def _median(turns: Sequence[Measured], name: str) -> float:
    return statistics.median(getattr(turn, name) for turn in turns)


def _free_port() -> int:
    """A free one whose two followers are likely to be free too: MLServer takes three."""
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        port: int = listening.getsockname()[1]
    return port


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="once, briefly: to see that it runs")
    parser.add_argument("--no-peers", action="store_true", help="Faultline and FastAPI alone")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument(
        "--mlserver",
        default=shutil.which("mlserver"),
        metavar="PROGRAM",
        help="MLServer's command, in an environment of its own: its pins clash with ours "
        "(pip install mlserver mlserver-sklearn)",
    )
    given = parser.parse_args(arguments)
    rounds, seconds = (1, 1.0) if given.quick else (given.rounds, 4.0)
    found: dict[str, list[Measured] | str] = {}
    with TemporaryDirectory(prefix="faultline-bench-") as place:
        folder = Path(place)
        prepare(folder)
        for _ in range(rounds):
            port = _free_port()
            write_mlserver_settings(folder, port)
            for contender in contenders(folder, port, given.mlserver):
                if given.no_peers and contender.name not in {FAULTLINE, FASTAPI}:
                    continue
                if contender.command is None:
                    found[contender.name] = "not installed"
                    continue
                turns = found.setdefault(contender.name, [])
                assert not isinstance(turns, str)
                turns.append(measure(contender, folder, port, seconds))
                print(f"{contender.name}: {turns[-1].per_cpu_s:,.0f} per CPU s", file=sys.stderr)
    print(report(found))


if __name__ == "__main__":
    main()
