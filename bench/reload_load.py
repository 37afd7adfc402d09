"""The load of `bench.reload`: readings that stream, predictions that are asked for, versions."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import numpy as np

from faultline import topics, verdicts
from faultline.bundle import golden_batch, write_bundle
from faultline.detector import Detector, MachineHistory
from faultline.events import model_name
from faultline.ports.broker import Broker
from faultline.ports.registry import ModelRegistry, TrainingRun
from faultline.readings import Reading, encode, make_reading

KIND = "reload"
NAME = model_name(KIND)
SENSORS = tuple(f"sensor_{number}" for number in range(16))
PATIENCE_S = 60.0
_MACHINES = 10
_READINGS_S = 50


@dataclass
class Seen:
    """When verdicts arrived, by the monotonic clock.

    Attributes
    ----------
    sent_s, arrived_s
        By machine and timestamp.
    first_s
        When the first verdict of a version did.
    """

    sent_s: dict[tuple[str, int], float] = field(default_factory=dict)
    arrived_s: dict[tuple[str, int], float] = field(default_factory=dict)
    first_s: dict[str, float] = field(default_factory=dict)

    def delays_ms(self, start_s: float, end_s: float) -> np.ndarray:
        """From sending to the verdict, of the readings sent meanwhile."""
        sent = {key: at_s for key, at_s in self.sent_s.items() if start_s <= at_s < end_s}
        missing = [key for key in sent if key not in self.arrived_s]
        if missing:
            raise RuntimeError(f"{len(missing)} readings have no verdict, first {missing[0]}")
        return 1_000 * np.array([self.arrived_s[key] - at_s for key, at_s in sent.items()])


def detector(boundary: float) -> Detector:
    """A detector of 16 sensors and four clusters; the boundary tells versions apart."""
    d = len(SENSORS)
    return Detector(
        sensors=SENSORS,
        window_rows=10,
        max_gap_ms=60_000,
        centre=np.zeros(d),
        scale=np.ones(d),
        spread=np.ones(d),
        clusters=np.arange(4.0)[:, np.newaxis] * np.ones(d),
        boundary=boundary,
        unknown_score=2.0,
    )


def register(registry: ModelRegistry, boundary: float) -> str:
    """Register a version that the gate has passed; returns its number."""
    made = detector(boundary)
    rows = np.random.default_rng(0).normal(size=(60, len(SENSORS)))
    history = MachineHistory("m-0", 1_000 * np.arange(len(rows), dtype=np.int64), rows)
    with TemporaryDirectory() as folder:
        bundle_sum = write_bundle(
            Path(folder) / "model",
            made,
            golden_batch(made, history),
            model_name=NAME,
            machine_type=KIND,
            created_ms=0,
        )
        run_id = registry.log_run(TrainingRun(NAME, "bench", {}, [], {}, Path(folder)))
    tags = {"bundle_sha256": bundle_sum, "gate": "passed", "gate_reason": "of a benchmark"}
    return registry.register(NAME, run_id, tags, "Of a benchmark.").version


def ask(url: str, body: bytes, seconds: float) -> list[float]:
    """Ask for predictions one after the other; returns how long each took, in milliseconds."""
    address = urlsplit(url)
    taken: list[float] = []
    with closing(http.client.HTTPConnection(address.hostname or "", address.port or 80)) as server:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            begun_s = time.perf_counter()
            server.request("POST", "/api/v1/predict", body, {"Content-Type": "application/json"})
            answer = server.getresponse()
            content = answer.read()
            taken.append(1_000 * (time.perf_counter() - begun_s))
            if answer.status != http.client.OK:
                raise RuntimeError(f"{answer.status}: {content[:200]!r}")
    return taken


class Stream:
    """Sends readings at a steady rate and watches for their verdicts, in threads of its own."""

    def __init__(self, broker: Broker) -> None:
        self.seen = Seen()
        self._broker = broker
        self._stop = threading.Event()
        self._watching = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._watch, self._send)]

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        with closing(self._broker.tail(topics.VERDICTS)) as tail:
            tail.poll(0.0)
            self._watching.set()
            while not self._stop.is_set():
                for message in tail.poll(0.05):
                    now_s = time.monotonic()
                    batch = verdicts.decode(message.value)
                    self.seen.first_s.setdefault(batch.model_version or "", now_s)
                    for verdict in batch.verdicts:
                        key = (batch.machine_id, verdict.timestamp_ms)
                        self.seen.arrived_s.setdefault(key, now_s)

    def _send(self) -> None:
        if not self._watching.wait(PATIENCE_S):
            return
        producer = self._broker.producer()
        values = np.random.default_rng(1).normal(size=(1_000, len(SENSORS))).tolist()
        begun_s, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, begun_s + number / _READINGS_S - time.monotonic())):
            one = reading(f"m-{number % _MACHINES}", values[number % len(values)])
            self.seen.sent_s[one.identity] = time.monotonic()
            producer.send(topics.READINGS.name, one.machine_id.encode(), encode(one))
            number += 1


def reading(machine_id: str, values: Sequence[float]) -> Reading:
    """A reading of this moment."""
    return make_reading(
        machine_id, int(1_000 * time.time()), dict(zip(SENSORS, values, strict=True)), KIND
    )
