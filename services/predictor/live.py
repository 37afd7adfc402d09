"""Follows the topics for the clients of the live stream, and hands each what it asks for.

One follower for all, and only while someone listens. A client's queue is bounded: one that reads
slowly loses its oldest events and is told how many, and holds up nobody.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from faultline.errors import Unavailable
from faultline.ports.broker import Partition
from faultline.ports.feed import Feed, Follower
from faultline.telemetry import logger
from services.predictor.live_events import TOPICS, Kind, LiveEvent, Wanted
from services.predictor.live_reader import LiveReader
from services.predictor.metrics import Metrics

log = logger(__name__)

QUEUE_BYTES = 4 * 1024 * 1024
"""Of events that wait for one client, at most."""
MOST_CLIENTS = 100
_CHUNK_BYTES = 64 * 1024
_POLL_S = 0.5

Offsets = Mapping[Partition, int]


class Queued(NamedTuple):
    """An event that waits for a client."""

    partition: Partition
    next_offset: int
    kind: Kind
    frame: bytes


def queued(events: Iterable[LiveEvent], wanted: Wanted) -> list[Queued]:
    """Those of some events that a client wants."""
    return [
        Queued(event.partition, event.next_offset, event.kind, frame)
        for event in events
        if (frame := event.frame(wanted)) is not None
    ]


class Taken(NamedTuple):
    """What a client takes out of its queue.

    Attributes
    ----------
    dropped
        Events that had to make room since the last time, by kind; and where they end.
    position
        Where the stream stands after `events`; None while more wait.
    """

    dropped: Mapping[Kind, int]
    dropped_to: Offsets
    events: Sequence[Queued]
    position: Offsets | None


class Listener:
    """The queue of one client.

    Parameters
    ----------
    wake
        Called, from the thread of the stream, when there is something to take.
    """

    def __init__(
        self, wanted: Wanted, wake: Callable[[], None], metrics: Metrics, most_bytes: int
    ) -> None:
        self.joined_at: Offsets | None = None
        self._wanted = wanted
        self._wake = wake
        self._metrics = metrics
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._waiting: deque[Queued] = deque()
        self._bytes = 0
        self._dropped: Counter[Kind] = Counter()
        self._dropped_to: dict[Partition, int] = {}
        self._position: Offsets | None = None

    def begin(self, position: Offsets) -> None:
        """Note from where on the stream comes through this queue."""
        self.joined_at = position
        self._wake()

    def offer(self, events: Iterable[LiveEvent], position: Offsets) -> None:
        """Queue what is wanted of these; the oldest make room."""
        wanted = queued(events, self._wanted)
        with self._lock:
            self._position = position
            self._waiting.extend(wanted)
            self._bytes += sum(len(one.frame) for one in wanted)
            # One that is larger than all is let through alone.
            while self._bytes > self._most_bytes and len(self._waiting) > 1:
                self._drop(self._waiting.popleft())
        if wanted:
            self._wake()

    def _drop(self, one: Queued) -> None:
        self._bytes -= len(one.frame)
        self._dropped[one.kind] += 1
        self._dropped_to[one.partition] = one.next_offset
        self._metrics.live_events.labels(one.kind, "dropped").inc()

    def take(self, most_bytes: int = _CHUNK_BYTES) -> Taken:
        """The oldest events, about so many bytes of them."""
        events: list[Queued] = []
        size = 0
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
            dropped_to, self._dropped_to = self._dropped_to, {}
            while self._waiting and size < most_bytes:
                events.append(self._waiting.popleft())
                size += len(events[-1].frame)
            self._bytes -= size
            position = None if self._waiting else self._position
        return Taken(dropped, dropped_to, events, position)


class LiveEvents:
    """The loop that follows the topics, and the clients that listen.

    Parameters
    ----------
    retry_s
        Seconds to wait after the broker could not be reached.
    most_clients
        Further ones are refused.
    queue_bytes
        See `QUEUE_BYTES`.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        metrics: Metrics,
        retry_s: float,
        most_clients: int = MOST_CLIENTS,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self.feed = feed
        self.metrics = metrics
        self.retry_s = retry_s
        self._most_clients = most_clients
        self._queue_bytes = queue_bytes
        self._lock = threading.Lock()
        self._clients: set[Callable[[], None]] = set()
        self._listeners: set[Listener] = set()
        self._position: Offsets | None = None
        self._wanted = threading.Event()
        self._in_trouble = False
        self.ended = False

    # Clients ------------------------------------------------------------------------------------

    def admit(self, wake: Callable[[], None]) -> None:
        """Count a client in; `wake` is called when the service ends.

        Raises
        ------
        Unavailable
            When there are too many, or the service ends.
        """
        with self._lock:
            if self.ended:
                raise Unavailable("this replica ends; ask another one")
            if len(self._clients) >= self._most_clients:
                raise Unavailable(
                    f"{self._most_clients} clients follow this replica's stream already; "
                    "try again later, or at another replica"
                )
            self._clients.add(wake)
            self.metrics.live_clients.set(len(self._clients))

    def dismiss(self, wake: Callable[[], None]) -> None:
        """Count a client out."""
        with self._lock:
            self._clients.discard(wake)
            self.metrics.live_clients.set(len(self._clients))

    def join(self, wanted: Wanted, wake: Callable[[], None]) -> Listener:
        """Queue events for a client from now on; `joined_at` says from where, once it is known."""
        listener = Listener(wanted, wake, self.metrics, self._queue_bytes)
        with self._lock:
            self._listeners.add(listener)
            listener.joined_at = self._position
            self._wanted.set()
        return listener

    def leave(self, listener: Listener) -> None:
        """Let go of a client's queue."""
        with self._lock:
            self._listeners.discard(listener)

    def end(self) -> None:
        """Let all clients go: the service ends, and new ones are to ask another replica."""
        with self._lock:
            self.ended = True
            clients = list(self._clients)
        for wake in clients:
            wake()

    # The loop -----------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Follow the topics whenever someone listens, until told to stop."""
        while not stop.is_set():
            if not self._wanted.wait(_POLL_S):
                continue
            try:
                with closing(self.feed.open(TOPICS)) as follower:
                    self._follow(LiveReader(follower, self._begin(follower)), stop)
            except Unavailable as error:
                self._wait(error, stop)

    def _begin(self, follower: Follower) -> Offsets:
        position = {partition: extent.end for partition, extent in follower.extents.items()}
        with self._lock:
            self._position = position
            waiting = [each for each in self._listeners if each.joined_at is None]
            for listener in waiting:
                listener.begin(position)
        return position

    def _follow(self, reader: LiveReader, stop: threading.Event) -> None:
        while not (stop.is_set() or self._nobody_listens()):
            try:
                events, position = reader.poll(_POLL_S)
            except Unavailable as error:
                # It stays where it stands, so that nothing is missed.
                self._wait(error, stop)
                continue
            self._in_trouble = False
            with self._lock:
                # Who joins from here on begins after these.
                self._position = position
                listeners = list(self._listeners)
            for listener in listeners:
                listener.offer(events, position)

    def _nobody_listens(self) -> bool:
        with self._lock:
            if self._listeners:
                return False
            # Whoever joins from here on waits for the next follower.
            self._position = None
            self._wanted.clear()
            return True

    def _wait(self, error: Unavailable, stop: threading.Event) -> None:
        if not self._in_trouble:
            log.warning("live events wait for the broker", why=str(error))
        self._in_trouble = True
        stop.wait(self.retry_s)
