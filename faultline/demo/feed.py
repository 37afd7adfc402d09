"""Readings on their way into the stack, each feed in a thread of its own, and what it has sent.

Knows sinks; what is behind them, it does not.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from faultline.demo.tempo import Stopped
from faultline.readings import Reading
from faultline.sources.sink import Sink


class Feed:
    """Sends batches to a sink until they end or it is stopped.

    Parameters
    ----------
    batches
        Consumed in the feed's thread.
    """

    def __init__(self, name: str, batches: Iterable[Sequence[Reading]], sink: Sink) -> None:
        self._batches = batches
        self._sink = sink
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._last_ms: dict[str, int] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it still sends."""
        return self._thread.is_alive()

    @property
    def sent(self) -> Counter[str]:
        """Readings per machine so far; once the feed has ended well, all acknowledged."""
        with self._lock:
            return Counter(self._sent)

    @property
    def last_ms(self) -> dict[str, int]:
        """Timestamp of the last reading sent, per machine, milliseconds since the epoch."""
        with self._lock:
            return dict(self._last_ms)

    def check(self) -> None:
        """Raise what ended the feed, if anything did."""
        if self._error is not None:
            raise self._error

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended, at most so long."""
        self._thread.join(timeout_s)

    def abandon(self) -> None:
        """Send no more after the batch under way; wait for nothing."""
        self._stop.set()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Send no more, wait for what was sent to be acknowledged, and raise what went wrong.

        Raises
        ------
        TimeoutError
            When the feed does not end in time.
        """
        self.abandon()
        if self._thread.ident is None:
            return
        self._thread.join(timeout_s)
        if self.running:
            raise TimeoutError(f"{self._thread.name} did not end within {timeout_s:g} s")
        self.check()

    def _run(self) -> None:
        try:
            for batch in self._batches:
                if self._stop.is_set():
                    break
                self._sink.send(batch)
                self._count(batch)
            self._sink.flush()
        except Stopped:
            self._sink.flush()
        except Exception as error:
            # Kept, and raised by whoever asks.
            self._error = error

    def _count(self, batch: Sequence[Reading]) -> None:
        with self._lock:
            for reading in batch:
                self._sent[reading.machine_id] += 1
                self._last_ms[reading.machine_id] = reading.timestamp_ms


class HoldingSink:
    """A sink that keeps readings until there is somewhere to send them.

    The machine that starts the stack is watched from the first second, before there is a broker.

    Parameters
    ----------
    limit
        Readings kept at most; more raise `OverflowError`.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: list[Reading] = []
        self._sink: Sink | None = None

    def open(self, sink: Sink) -> None:
        """Send what was kept, and from now on everything."""
        with self._lock:
            sink.send(self._kept)
            self._kept = []
            self._sink = sink

    def send(self, readings: Sequence[Reading]) -> None:
        """Send on, or keep."""
        with self._lock:
            if self._sink is not None:
                self._sink.send(readings)
                return
            if len(self._kept) + len(readings) > self._limit:
                raise OverflowError(f"more than {self._limit} readings wait for the stack to start")
            self._kept.extend(readings)

    def flush(self) -> None:
        """Return once everything sent on has arrived."""
        with self._lock:
            if self._sink is not None:
                self._sink.flush()


class Feeds:
    """Several feeds (at least one) as one: the ways that the readings of one scenario take."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = tuple(feeds)

    def start(self) -> None:
        """Start all."""
        for feed in self._feeds:
            feed.start()

    @property
    def running(self) -> bool:
        """Whether one of them still sends; raises what ended one."""
        for feed in self._feeds:
            feed.check()
        return any(feed.running for feed in self._feeds)

    @property
    def sent(self) -> Counter[str]:
        """Readings per machine so far."""
        return sum((feed.sent for feed in self._feeds), Counter())

    @property
    def last_ms(self) -> dict[str, int]:
        """Timestamp of the last reading sent, per machine."""
        return {machine: at for feed in self._feeds for machine, at in feed.last_ms.items()}

    @property
    def come_to_ms(self) -> int:
        """The time up to which every running feed has sent; 0 before it has begun."""
        # One that has ended has no more to send; it does not hold the others back.
        counted = [feed for feed in self._feeds if feed.running] or self._feeds
        return min(max(feed.last_ms.values(), default=0) for feed in counted)

    def stop(self) -> None:
        """Stop all; each is stopped even when another one fails."""
        with ExitStack() as stops:
            for feed in self._feeds:
                stops.callback(feed.stop)
