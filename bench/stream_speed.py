"""Readings a second through the predictor and the recorder, with both clients of Kafka.

Real Kafka, PostgreSQL and MLflow of the local stack, each service a process. A service is started,
warmed up and made to stand still while its topic is filled; the clock runs from when it goes on
until the last offset is committed, and every reading must have its verdict by then. Beside it the
hand-written loop around each client, which is what can be had at best.
Run `python -m bench.stream_speed --help`; bench/README.md says how to read it.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from bench.reload_load import KIND, SENSORS, register
from bench.stream_limits import CLIENTS
from bench.stream_watch import Watch
from bench.table import table
from faultline import topics
from faultline.adapters.broker import open_broker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres.migration import migrate
from faultline.local.home import Endpoints
from faultline.local.ports import Ports
from faultline.local.stack import Stack
from faultline.ports.broker import Broker
from faultline.readings import encode, encode_messages, make_reading
from faultline.settings import KafkaSettings, RegistrySettings
from faultline.topics import Topic

MACHINES = 64
PER_MESSAGE = (1, 100)
_PARTS = ("kafka", "postgres", "mlflow")
_PATIENCE_S = 300.0
_DAY_MS = 86_400_000
_SERVICES = {
    "predictor": ("-m", "services.predictor"),
    "recorder": ("-m", "services.ingest", "recorder"),
}


class Source:
    """Readings of all machines, each turn's later than those of the turn before."""

    def __init__(self) -> None:
        self._at_ms = time.time_ns() // 1_000_000 - 5 * _DAY_MS

    def messages(self, count: int, per_message: int) -> list[tuple[bytes, bytes]]:
        """Keys and values of so many readings, ready to be sent."""
        rng = np.random.default_rng(0)
        rows = (rng.normal(size=(count, len(SENSORS))) + 1.5).round(12).tolist()
        start_ms, self._at_ms = self._at_ms, self._at_ms + 1_000 * (count // MACHINES + 1)
        readings = [
            make_reading(
                f"machine-{number % MACHINES}",
                start_ms + 1_000 * (number // MACHINES),
                dict(zip(SENSORS, row, strict=True)),
                KIND,
            )
            for number, row in enumerate(rows)
        ]
        if per_message == 1:
            return [(reading.machine_id.encode(), encode(reading)) for reading in readings]
        return list(encode_messages(readings, per_message, 900_000))


@contextmanager
def service(name: str, client: str, platform: Endpoints, folder: Path) -> Iterator[int]:
    """Run a service with a client; gives its process's number once it is ready."""
    port = Ports.free().predictor
    environment = {
        **os.environ,
        "FAULTLINE_KAFKA_CLIENT": client,
        "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": platform.kafka,
        # It stands still while its topic is filled, and stays a member.
        "FAULTLINE_KAFKA_SESSION_TIMEOUT_S": "300",
        "FAULTLINE_DATABASE_URL": platform.database_url,
        "MLFLOW_TRACKING_URI": platform.mlflow,
        "FAULTLINE_STATE_DIR": str(folder / "state"),
        f"FAULTLINE_{name.upper()}_PORT": str(port),
        "FAULTLINE_LOG_LEVEL": "warning",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, *_SERVICES[name]], env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:

            def ready() -> bool:
                if process.poll() is not None:
                    raise RuntimeError(f"the {name} ended by itself")
                with suppress(httpx.TransportError):
                    return http.get("/health/ready").is_success
                return False

            wait_until(ready, f"the {name}")
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(60)


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Wait for a condition; raises `TimeoutError`."""
    end_s = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > end_s:
            raise TimeoutError(f"in vain waited for {what}")
        time.sleep(0.02)


def send(broker: Broker, topic: str, messages: Sequence[tuple[bytes, bytes]]) -> None:
    """Send all and wait until the broker has them."""
    producer = broker.producer()
    for key, value in messages:
        producer.send(topic, key, value)
    producer.flush(_PATIENCE_S)
    producer.close()


class Bench:
    """One stack, on which turns are taken."""

    def __init__(self, platform: Endpoints, folder: Path, readings: int) -> None:
        self._platform = platform
        self._folder = folder
        self._readings = readings
        self._source = Source()
        self._watch = Watch(platform)
        self._broker = open_broker(
            KafkaSettings(
                kafka_bootstrap_servers=platform.kafka,
                kafka_client="confluent",
                kafka_max_in_flight_bytes=1 << 30,
            ),
            "bench",
        )
        self._broker.create_topics(topics.ALL)
        self._limits: dict[int, str] = {}

    def limit(self, client: str, per_message: int) -> float:
        """A turn of the hand-written loop, on a topic that is filled once."""
        topic = self._limits.get(per_message)
        if topic is None:
            topic = self._limits[per_message] = f"limit.{per_message}"
            declared = Topic(topic, "machine_id", "Readings.", topics.READINGS.partitions, _DAY_MS)
            self._broker.create_topics([declared])
            send(self._broker, topic, self._source.messages(self._readings, per_message))
        arguments = (client, self._platform.kafka, topic, uuid.uuid4().hex)
        counts = (str(self._readings), str(per_message))
        done = subprocess.run(
            [sys.executable, "-m", "bench.stream_limits", *arguments, *counts],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return float(done.stdout)

    def predictor(self, client: str, per_message: int) -> float:
        """A turn of the predictor: from standing still to the last offset committed."""
        stands = self._watch.committed("predictor", topics.READINGS)
        rate, start = self._turn("predictor", client, per_message, {topics.READINGS: stands})
        found = self._watch.verdicts_since(start)
        if found != self._readings:
            raise RuntimeError(f"{found} verdicts of {self._readings} readings")
        return rate

    def recorder(self, client: str, per_message: int) -> float:
        """A turn of the recorder, readings only: what there was before is stored before."""
        stands = {each: self._watch.stored(each) for each in (topics.READINGS, topics.VERDICTS)}
        return self._turn("recorder", client, per_message, stands)[0]

    def _turn(
        self,
        name: str,
        client: str,
        per_message: int,
        stands: dict[Topic, Callable[[], dict[int, int]]],
    ) -> tuple[float, dict[int, int]]:
        """Readings a second, and where the verdicts' topic ended before."""
        messages = self._source.messages(self._readings, per_message)
        with service(name, client, self._platform, self._folder) as pid:
            # One of each machine, so that it is a member and has its model at hand; and what
            # other services' turns have left.
            send(self._broker, topics.READINGS.name, self._source.messages(MACHINES, 1))
            self._wait(stands)
            start = self._watch.ends(topics.VERDICTS)
            os.kill(pid, signal.SIGSTOP)
            send(self._broker, topics.READINGS.name, messages)
            begun_s = time.perf_counter()
            os.kill(pid, signal.SIGCONT)
            self._wait(stands)
            return self._readings / (time.perf_counter() - begun_s), start

    def _wait(self, stands: dict[Topic, Callable[[], dict[int, int]]]) -> None:
        for topic, ask in stands.items():
            self._wait_until(ask, topic)

    def _wait_until(self, ask: Callable[[], dict[int, int]], topic: Topic) -> None:
        ends = {n: end for n, end in self._watch.ends(topic).items() if end}
        wait_until(lambda: ends.items() <= ask().items(), topic.name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--readings", type=int, default=200_000, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of 50,000 readings")
    given = parser.parse_args(arguments)
    rounds, readings = (1, 50_000) if given.quick else (given.rounds, given.readings)
    kinds = ("limit", "predictor", "recorder")
    found: dict[tuple[str, str, int], list[float]] = {}
    with TemporaryDirectory(prefix="faultline-bench-") as folder:
        home = Path(folder) / "home"
        with Stack(home, Ports.free(), _PARTS) as stack:
            platform = stack.endpoints
            migrate(platform.database_url)
            registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
            version = register(registry, 8.0)
            registry.promote(f"faultline-{KIND}", version)
            bench = Bench(platform, Path(folder), readings)
            for _ in range(rounds):
                for per_message in PER_MESSAGE:
                    for client in CLIENTS:
                        for kind in kinds:
                            rate = getattr(bench, kind)(client, per_message)
                            found.setdefault((kind, client, per_message), []).append(rate)
                            print(f"{kind} {client} {per_message}: {rate:,.0f}", flush=True)
    medians = {key: statistics.median(rates) for key, rates in found.items()}
    lines = [
        [
            f"{kind}, {client}",
            *(
                f"{medians[kind, client, per]:,.0f} "
                f"({medians[kind, client, per] / medians['limit', client, per]:.2f})"
                for per in PER_MESSAGE
            ),
        ]
        for kind in kinds
        for client in CLIENTS
    ]
    header = ["readings/s (of the client's limit)", *(f"{per} per message" for per in PER_MESSAGE)]
    print(table(header, lines))


if __name__ == "__main__":
    main()
