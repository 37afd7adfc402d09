"""How many readings a second the gateway takes until the real Kafka has acknowledged them.

Kafka and the gateway are those of `faultline up`, each a process; a load generator in another posts
the same NDJSON over and over, on this machine. Beside it the limit: kafka-python sending messages
that are ready made, without HTTP, decoding or checking. What each process took of the CPU says
which part limits. Run `python -m bench.gateway_speed --help`; bench/README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import psutil

from bench.synthetic import SENSORS, running_machine
from bench.table import table
from faultline import topics
from faultline.adapters.kafka import KafkaBroker
from faultline.local.ports import Ports
from faultline.local.stack import Stack
from faultline.ports.broker import Producer
from faultline.readings import Reading, encode, encode_messages, make_reading
from faultline.settings import KafkaSettings

LEAST_PER_S = 100_000
"""What is aimed at, with the largest requests."""
BATCHES = (100, 1_000, 5_000)
PARTS = ("kafka", "topics", "gateway")
_MACHINES = 10
_CONNECTIONS = 4
_MESSAGE_READINGS = 200
_START_MS = 1_795_000_000_000
_LIMIT = "kafka-python alone, messages ready made"


@dataclass(frozen=True)
class Measured:
    """One turn: readings a second, and microseconds of CPU that each took, by process."""

    per_s: float
    cpu_us: Mapping[str, float]
    busy: float
    p50_ms: float | None = None


def batch(readings: int) -> list[Reading]:
    """Readings of 16 sensors of several machines, in the order of time."""
    rows = running_machine(readings).round(4).tolist()
    names = [f"sensor_{number:02d}" for number in range(SENSORS)]
    return [
        make_reading(
            f"machine-{number % _MACHINES}",
            _START_MS + 1_000 * (number // _MACHINES),
            dict(zip(names, row, strict=True)),
            "pump",
        )
        for number, row in enumerate(rows)
    ]


class Meter:
    """What processes take of the CPU while something is done."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = processes
        self._before_s = self._cpu_s()

    def spent_s(self) -> dict[str, float]:
        """Seconds of CPU since it was made, by process."""
        return {name: now_s - self._before_s[name] for name, now_s in self._cpu_s().items()}

    def _cpu_s(self) -> dict[str, float]:
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: each.user + each.system for name, each in times.items()}


def through_gateway(
    url: str, processes: Mapping[str, psutil.Process], body: Path, readings: int, seconds: float
) -> Measured:
    """Post the body over and over; raises `RuntimeError` when one is not taken wholly."""
    address = urlsplit(url)
    meter = Meter(processes)
    done = subprocess.run(
        [
            sys.executable, "-m", "bench.http_load",
            str(address.hostname), str(address.port), "/api/v1/readings", str(body),
            str(_CONNECTIONS), str(seconds),
            "--content-type", "application/x-ndjson", "--status", "202",
        ],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
    )  # fmt: skip
    spent_s = meter.spent_s()
    found: dict[str, Any] = json.loads(done.stdout)
    if found["bad"] or not found["answered"]:
        raise RuntimeError(f"the gateway did not take {found['bad']} of the requests")
    sent = found["answered"] * readings
    spent_s["client"] = found["cpu_s"]
    return Measured(
        sent / seconds,
        {name: 1e6 * each / sent for name, each in spent_s.items()},
        spent_s["gateway"] / seconds,
        found["times_ms"][len(found["times_ms"]) // 2],
    )


def straight(
    producer: Producer, kafka: psutil.Process, readings: Sequence[Reading], seconds: float
) -> Measured:
    """Send ready-made messages from this process, waiting for each round of them."""
    messages = list(encode_messages(readings, _MESSAGE_READINGS, 900_000))
    meter = Meter({"kafka": kafka, "client": psutil.Process()})
    sent = 0
    begun_s = time.perf_counter()
    deliveries: list[Any] = []
    while time.perf_counter() - begun_s < seconds:
        before, deliveries = deliveries, []
        for key, value in messages:
            deliveries.append(producer.send(topics.READINGS.name, key, value))
        # One round is on its way while the next is handed over.
        for delivery in before:
            delivery.wait(30.0)
        sent += len(readings)
    producer.flush(30.0)
    took_s = time.perf_counter() - begun_s
    spent_s = meter.spent_s()
    return Measured(
        sent / took_s,
        {name: 1e6 * each / sent for name, each in spent_s.items()},
        spent_s["client"] / took_s,
    )


def measure(stack: Stack, folder: Path, rounds: int, seconds: float) -> dict[str, list[Measured]]:
    """Take turns; the name of each row, and its turns."""
    pids = {status.name: status.pid for status in stack.status()}
    processes = {name: psutil.Process(pids[name]) for name in ("gateway", "kafka")}
    bodies = {}
    for readings in BATCHES:
        bodies[readings] = folder / f"{readings}.ndjson"
        bodies[readings].write_bytes(b"\n".join(encode(each) for each in batch(readings)))
    broker = KafkaBroker(
        KafkaSettings(kafka_bootstrap_servers=stack.endpoints.kafka), client_id="bench"
    )
    found: dict[str, list[Measured]] = {}
    url = stack.endpoints.gateway
    try:
        producer = broker.producer()
        through_gateway(url, processes, bodies[BATCHES[0]], BATCHES[0], seconds / 2)
        for _ in range(rounds):
            for readings, body in bodies.items():
                turn = through_gateway(url, processes, body, readings, seconds)
                found.setdefault(f"gateway, {readings:,} in a request", []).append(turn)
            turn = straight(producer, processes["kafka"], batch(BATCHES[-1]), seconds)
            found.setdefault(_LIMIT, []).append(turn)
    finally:
        broker.close()
    return found


def report(found: Mapping[str, Sequence[Measured]]) -> tuple[str, bool]:
    """Lay out the medians; and whether the aim is met."""
    rows = []
    for name, turns in found.items():
        us = {
            part: statistics.median(turn.cpu_us[part] for turn in turns) for part in turns[0].cpu_us
        }
        latencies = [turn.p50_ms for turn in turns if turn.p50_ms is not None]
        rows.append(
            [
                name,
                f"{statistics.median(turn.per_s for turn in turns):,.0f}",
                *(
                    f"{us[part]:.1f}" if part in us else ""
                    for part in ("gateway", "kafka", "client")
                ),
                f"{statistics.median(turn.busy for turn in turns):.2f}",
                f"{statistics.median(latencies):.1f}" if latencies else "",
            ]
        )
    header = [
        "NDJSON until acknowledged", "readings/s", "gateway us", "Kafka us", "client us",
        "cores of the gateway", "p50 ms of a request",
    ]  # fmt: skip
    best = max(
        statistics.median(turn.per_s for turn in turns)
        for name, turns in found.items()
        if name != _LIMIT
    )
    met = best >= LEAST_PER_S
    note = (
        f"{SENSORS} sensors, {_MACHINES} machines, {_CONNECTIONS} connections, "
        f"{psutil.cpu_count()} cores; us of CPU a reading, medians of {len(found[_LIMIT])}."
    )
    aim = f"aim {'met' if met else 'MISSED'}: {best:,.0f} readings/s; at least {LEAST_PER_S:,}"
    return "\n".join([table(header, rows), "", note, aim]), met


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="once, briefly: to see that it runs")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each row")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each turn")
    given = parser.parse_args(arguments)
    rounds, seconds = (1, 2.0) if given.quick else (given.rounds, given.seconds)
    with TemporaryDirectory(prefix="faultline-bench-") as place:
        folder = Path(place)
        with Stack(folder / "home", Ports.free(), PARTS) as stack:
            text, met = report(measure(stack, folder, rounds, seconds))
    print(text)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
