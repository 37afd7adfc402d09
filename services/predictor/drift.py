"""Watches for drift: samples what was judged and compares it with what the version was trained on.

After the verdicts are published, in a loop of its own: the stream hands over what it has judged and
goes on. Of the readings, those count that are normal or in a lasting new state. A failing machine
is no drift, it has its alarm; once its state has lasted so long that it is the new normal, it is.
Late and repeated readings don't count, nor do those of a machine that the version has no baseline
of, where the others have one: what they show is how that machine differs.

Each replica counts the readings of its own machines and keeps the counts in the store; each judges
by the counts of all, so that any answers for all machines, and one of them tells: the first by id
that runs. The others wait until they see in the store that it did, and tell when it ends before.
What a replica counted before it ended, or let go, goes on to count for a while: a restart begins
with that.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import uuid4

from faultline import drift, topics
from faultline.drift import DriftEvent, DriftKind, DriftPart
from faultline.errors import FaultlineError, Unavailable
from faultline.judge import Model
from faultline.ports.broker import Broker, Producer
from faultline.ports.clock import Clock
from faultline.ports.drift import DriftLog
from faultline.service import repeating
from faultline.telemetry import logger
from services.predictor.drift_onset import DriftPolicy, excess
from services.predictor.drift_watched import Look, Seen, Watched
from services.predictor.metrics import Metrics

log = logger(__name__)

_QUEUE_READINGS = 50_000
_FLUSH_S = 10.0
_TURN_S = 0.5
_HEARD_EVENTS = 20
"""So many of the latest events may tell of what drifts now."""


class DriftWatch:
    """Samples, looks and tells of drift, for every machine type whose version has a reference.

    Parameters
    ----------
    store
        Keeps what each replica counted.
    models
        The versions in Production, by machine type.
    """

    def __init__(
        self,
        broker: Broker,
        policy: DriftPolicy,
        *,
        store: DriftLog,
        models: Callable[[], Mapping[str, Model]],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._replica = str(uuid4())
        self._broker = broker
        self._policy = policy
        self._store = store
        self._models = models
        self._metrics = metrics
        self._clock = clock
        self._queue: deque[Seen] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        self._looks: Mapping[str, Look] = {}
        self._looked_at_s = clock.monotonic_s()
        self._untold: dict[str, DriftEvent] = {}
        self._producer: Producer | None = None
        self._failing: set[str] = set()

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
        """Sample, look and tell until told to stop. A dependency that is down is waited for."""
        repeating(self._turn, stop, _TURN_S, "drift cannot be looked for, or told")
        if self._producer is not None:
            self._producer.close()

    def _turn(self) -> None:
        self.sample()
        self.tell()
        if self._clock.monotonic_s() - self._looked_at_s >= self._policy.poll_s:
            self.look()
            self.tell()

    def sample(self) -> None:
        """Take in what waits."""
        while True:
            with self._lock:
                if not self._queue:
                    return
                judged = self._queue.popleft()
                self._waiting -= len(judged.readings)
            kind = judged.readings[0].machine_type
            with self._passing_over("sample", kind):
                watched = self._watch(kind)
                # What a former version said is not to be compared with what this one learnt.
                if watched is not None and watched.model is judged.model:
                    watched.add(judged, self._clock.monotonic_s())

    def look(self) -> None:
        """Keep what was counted here, and compare what all replicas counted with the reference.

        Raises
        ------
        Unavailable
            While the store is down.
        """
        self._looked_at_s = self._clock.monotonic_s()
        now_ms, window_ms = self._clock.now_ms(), round(1_000 * self._policy.window_s)
        for kind in self._models():
            with self._passing_over("count", kind):
                watched = self._watch(kind)
                part = None if watched is None else watched.part(self._replica, self._clock)
                if part is not None:
                    self._store.keep(part, now_ms - window_ms)
        # Counts lose no single reading: after half the window the middle of theirs is out of it.
        parts = self._store.parts(now_ms - window_ms // 2)
        for kind in self._models():
            watched = self._watched.get(kind)
            if watched is None:
                continue
            with self._passing_over("look", kind):
                self._compare(watched, [part for part in parts if part.machine_type == kind])

    def _compare(self, watched: Watched, parts: Sequence[DriftPart]) -> None:
        kind, now_ms = watched.machine_type, self._clock.now_ms()
        seen = watched.look(parts, now_ms)
        self._looks = {**self._looks, kind: seen}
        self._show(seen)
        if kind in self._untold or not watched.untold():
            return
        for event in reversed(self._store.list(kind, _HEARD_EVENTS)):
            # By a clock that is ahead, an event would put off all others.
            if event.at_ms <= now_ms:
                watched.hear(event)
        # All find the same at about the same time; the first tells.
        running = (part.replica for part in watched.running(parts, now_ms))
        to_tell = watched.event(seen)
        if to_tell is not None and self._replica == min(running, default=self._replica):
            self._untold[kind] = to_tell

    def tell(self) -> None:
        """Publish what has not been told.

        Raises
        ------
        Unavailable
            While the broker is down; it waits.
        """
        if not self._untold:
            return
        try:
            if self._producer is None:
                self._producer = self._broker.producer()
            for event in self._untold.values():
                key = event.machine_type.encode()
                self._producer.send(topics.DRIFT_EVENTS.name, key, drift.encode(event))
            self._producer.flush(_FLUSH_S)
        except FaultlineError:
            if self._producer is not None:
                self._producer.close()
            self._producer = None
            raise
        for event in self._untold.values():
            self._watched[event.machine_type].hear(event)
            self._metrics.drift_events.labels(event.model_name).inc()
            log.info("drift", machine_type=event.machine_type, what=drift.described(event))
        self._untold = {}

    def _watch(self, kind: str) -> Watched | None:
        """The watch over a machine type, with the version in Production; None without reference."""
        model = self._models().get(kind)
        if model is None or model.reference is None:
            return None
        watched = self._watched.get(kind)
        if watched is None:
            self._watched[kind] = Watched(kind, model, model.reference, self._policy)
            for one in self._watched.values():
                one.resize(len(self._watched))
        elif watched.model is not model:
            watched.begin(model, model.reference)
        return self._watched[kind]

    @contextmanager
    def _passing_over(self, step: str, kind: str) -> Iterator[None]:
        """Count what fails of one machine type, say once why, and go on with the others."""
        try:
            yield
        except Unavailable:
            raise
        except Exception as error:
            # One strange reading or reference must end neither the watch nor, with it, the service.
            self._metrics.drift_failures.labels(step).inc()
            if kind not in self._failing:
                log.exception("drift cannot be told", step=step, machine_type=kind, why=str(error))
            self._failing.add(kind)

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
