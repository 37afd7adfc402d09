"""Watches for drift: samples what was judged and compares it with what the version was trained on.

After the verdicts are published, in a loop of its own: the stream hands over what it has judged and
goes on. Of the readings, those count that are normal or in a lasting new state. A failing machine
is no drift, it has its alarm; once its state has lasted so long that it is the new normal, it is.
Late and repeated readings don't count, nor do those of a machine that the version has no baseline
of, where the others have one: what they show is how that machine differs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from faultline import drift, topics
from faultline.detector.reference import Reference, machine_offsets, slow_sensors
from faultline.drift import DriftEvent, DriftKind, Finding
from faultline.errors import FaultlineError
from faultline.judge import Model
from faultline.ports.broker import Broker, Producer
from faultline.ports.clock import Clock
from faultline.readings import Reading
from faultline.telemetry import logger
from faultline.verdicts import Status, Verdict
from services.predictor.drift_onset import DriftPolicy, Onsets, excess
from services.predictor.drift_sample import DriftSample, Rows
from services.predictor.metrics import Metrics

log = logger(__name__)

_COUNTED = frozenset({Status.NORMAL, Status.NEW_NORMAL})
_QUEUE_READINGS = 50_000
_CELLS = 16 * 1024 * 1024
"""Numbers kept of all machine types together, 128 MB; they share the room."""
_FLUSH_S = 10.0
_TURN_S = 0.5


class Seen(NamedTuple):
    """Readings of one machine and what the version in Production said of them."""

    machine_id: str
    readings: Sequence[Reading]
    verdicts: Sequence[Verdict]
    model: Model


@dataclass(frozen=True)
class Look:
    """What the latest look at a machine type found.

    Attributes
    ----------
    at_ms
        When, milliseconds since the epoch.
    start_ms, end_ms
        First and last of the readings compared, by their own time; None without any.
    readings, machines
        How many were compared, of how many machines.
    findings
        Every comparison, the farthest over its threshold first.
    drifting
        Those of them that drift.
    """

    machine_type: str
    model: Model
    at_ms: int
    start_ms: int | None
    end_ms: int | None
    readings: int
    machines: int
    findings: tuple[Finding, ...]
    drifting: tuple[Finding, ...]


class _Watched:
    """One machine type."""

    def __init__(
        self, machine_type: str, model: Model, reference: Reference, policy: DriftPolicy
    ) -> None:
        self.machine_type = machine_type
        self.onsets = Onsets(policy.limits, policy.cooldown_s)
        self._window_ms = round(policy.window_s * 1_000)
        self._limits = policy.limits
        self._rows = policy.rows
        self.begin(model, reference)

    def begin(self, model: Model, reference: Reference) -> None:
        """Begin with a version: what another one said of readings is not to be compared."""
        detector = model.detector
        self.model = model
        self._reference = reference
        self._offsets = machine_offsets(detector)
        self._slow = slow_sensors(detector)
        self._sample = DriftSample(len(detector.sensors), self._window_ms, self._rows)
        self.onsets.begin_anew()

    def resize(self, types: int) -> None:
        """Leave room for so many machine types."""
        columns = len(self.model.detector.sensors) + 4
        self._rows = max(1, min(self._rows, _CELLS // (types * columns)))
        self._sample.resize(self._rows)

    def add(self, judged: Seen, now_s: float) -> None:
        """Sample readings."""
        offset = self._offsets.get(judged.machine_id)
        if offset is None and self._offsets:
            return
        pairs = zip(judged.readings, judged.verdicts, strict=True)
        counted = [pair for pair in pairs if pair[1].status in _COUNTED]
        times = np.array([verdict.timestamp_ms for _, verdict in counted], dtype=np.int64)
        taken = [counted[row] for row in self._sample.wanted(judged.machine_id, times).tolist()]
        sensors = self.model.detector.sensors
        values = np.array(
            [[reading.sensors.get(name) for name in sensors] for reading, _ in taken],
            dtype=np.float64,
        ).reshape(len(taken), len(sensors))
        said = [verdict for _, verdict in taken]
        rows = Rows(
            machine=np.zeros(len(taken), dtype=np.int64),
            timestamps_ms=np.array([one.timestamp_ms for one in said], dtype=np.int64),
            cluster=np.array([one.cluster for one in said], dtype=np.int64),
            score=np.array([one.score for one in said], dtype=np.float64),
            values=values if offset is None else values - offset,
        )
        self._sample.add(judged.machine_id, rows, now_s)

    def look(self, clock: Clock) -> tuple[Look, tuple[Finding, ...]]:
        """Compare; also returns what there is to tell."""
        from services.predictor.drift_look import look  # noqa: PLC0415 - SciPy, when it is needed

        rows = self._sample.rows(clock.monotonic_s())
        found = look(self.model.detector.sensors, self._slow, self._reference, rows, self._limits)
        found = tuple(sorted(found, key=excess, reverse=True))
        to_tell = self.onsets.follow(found, clock.monotonic_s())
        times = rows.timestamps_ms
        seen = Look(
            machine_type=self.machine_type,
            model=self.model,
            at_ms=clock.now_ms(),
            start_ms=int(times.min()) if len(times) else None,
            end_ms=int(times.max()) if len(times) else None,
            readings=len(times),
            machines=rows.machines,
            findings=found,
            drifting=tuple(one for one in found if self.onsets.drifting(one)),
        )
        return seen, to_tell


class DriftWatch:
    """Samples, looks and tells of drift, for every machine type whose version has a reference."""

    def __init__(
        self, broker: Broker, policy: DriftPolicy, *, metrics: Metrics, clock: Clock
    ) -> None:
        self._broker = broker
        self._policy = policy
        self._metrics = metrics
        self._clock = clock
        self._queue: deque[Seen] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._looks: Mapping[str, Look] = {}
        self._looked_at_s = clock.monotonic_s()
        self._untold: list[DriftEvent] = []
        self._in_trouble = False

    # What the stream calls: it never waits -----------------------------------------------------

    def offer(self, judged: Sequence[Seen]) -> None:
        """Have readings sampled, as far as there is room for them to wait."""
        dropped = 0
        with self._lock:
            for one in judged:
                if one.model.reference is None:
                    continue
                if self._waiting + len(one.readings) > _QUEUE_READINGS:
                    dropped += len(one.readings)
                    continue
                self._queue.append(one)
                self._waiting += len(one.readings)
        if dropped:
            self._metrics.drift_dropped_readings.inc(dropped)

    def looks(self) -> Mapping[str, Look]:
        """The latest look at each machine type."""
        return self._looks

    # The loop ----------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Sample, look and tell until told to stop."""
        producer: Producer | None = None
        while not stop.wait(_TURN_S):
            self.sample()
            if self._clock.monotonic_s() - self._looked_at_s >= self._policy.poll_s:
                self.look()
            producer = self.tell(producer)
        if producer is not None:
            producer.close()

    def sample(self) -> None:
        """Take in what waits."""
        while True:
            with self._lock:
                if not self._queue:
                    return
                judged = self._queue.popleft()
                self._waiting -= len(judged.readings)
            self._watch(judged).add(judged, self._clock.monotonic_s())

    def look(self) -> None:
        """Compare every machine type with its reference."""
        self._looked_at_s = self._clock.monotonic_s()
        for watched in self._watched.values():
            seen, to_tell = watched.look(self._clock)
            self._looks = {**self._looks, watched.machine_type: seen}
            self._show(seen)
            if to_tell:
                self._untold.append(_event(seen, to_tell))

    def tell(self, producer: Producer | None = None) -> Producer | None:
        """Publish what has not been told; while the broker is down it waits."""
        if not self._untold:
            return producer
        try:
            if producer is None:
                producer = self._broker.producer()
            for event in self._untold:
                key = event.machine_type.encode()
                producer.send(topics.DRIFT_EVENTS.name, key, drift.encode(event))
            producer.flush(_FLUSH_S)
        except FaultlineError as error:
            if not error.retriable:
                raise
            if not self._in_trouble:
                log.warning("drift cannot be published; it waits", why=str(error))
            self._in_trouble = True
            if producer is not None:
                producer.close()
            return None
        self._in_trouble = False
        for event in self._untold:
            self._metrics.drift_events.labels(event.model_name).inc()
            log.info("drift", machine_type=event.machine_type, what=drift.described(event))
        self._untold = []
        return producer

    def _watch(self, judged: Seen) -> _Watched:
        model, reference = judged.model, judged.model.reference
        assert reference is not None
        kind = judged.readings[0].machine_type
        watched = self._watched.get(kind)
        if watched is None:
            self._watched[kind] = _Watched(kind, model, reference, self._policy)
            for one in self._watched.values():
                one.resize(len(self._watched))
        elif watched.model is not model:
            watched.begin(model, reference)
        return self._watched[kind]

    def _show(self, seen: Look) -> None:
        for kind in DriftKind:
            over = [excess(one) for one in seen.findings if one.kind is kind]
            sure = [
                excess(one)
                for one in seen.findings
                if one.kind is kind and self._policy.limits.is_significant(one)
            ]
            if over:
                gauge = self._metrics.drift.labels(seen.model.name, kind)
                gauge.set(max(sure, default=0.0))


def _event(seen: Look, drifting: tuple[Finding, ...]) -> DriftEvent:
    assert seen.start_ms is not None
    assert seen.end_ms is not None
    return DriftEvent(
        event_id=str(uuid4()),
        machine_type=seen.machine_type,
        model_name=seen.model.name,
        model_version=seen.model.version,
        at_ms=seen.at_ms,
        findings=drifting,
        start_ms=seen.start_ms,
        end_ms=seen.end_ms,
        readings=seen.readings,
        machines=seen.machines,
    )
