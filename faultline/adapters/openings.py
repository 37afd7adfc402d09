"""What both clients of Kafka keep behind the port: what is open, readers to lend, one answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

_PING_HOLDS_S = 2.0


class Closable(Protocol):
    """What has to be closed."""

    def close(self) -> None:
        """Let go."""


_Opened = TypeVar("_Opened", bound=Closable)
_Reader = TypeVar("_Reader", bound=Closable)


class Openings(Generic[_Reader]):
    """All that was opened through a broker, its readers among it; any thread may ask.

    Parameters
    ----------
    open_reader
        Connects one.
    """

    def __init__(self, open_reader: Callable[[], _Reader]) -> None:
        self._open_reader = open_reader
        self._opened: list[Closable] = []
        self._readers: list[_Reader] = []
        self._lock = threading.Lock()

    def kept(self, opened: _Opened) -> _Opened:
        """Note what was opened, so that `close` closes it."""
        with self._lock:
            # Who reconnects again and again through an outage closes what it opened.
            self._opened = [each for each in self._opened if not getattr(each, "closed", False)]
            self._opened.append(opened)
        return opened

    def reader(self) -> _Reader:
        """One that was given back, or another."""
        with self._lock:
            if self._readers:
                return self._readers.pop()
        return self.kept(self._open_reader())

    def give_back(self, reader: _Reader) -> None:
        """Keep it for the next one: connecting takes longer than reading a partition."""
        with self._lock:
            self._readers.append(reader)

    def discard(self, reader: _Reader) -> None:
        """Close one that failed."""
        with self._lock:
            if reader in self._opened:
                self._opened.remove(reader)
        reader.close()

    def close(self) -> None:
        """Close all, the last first."""
        with self._lock:
            opened, self._opened, self._readers = self._opened, [], []
        for each in reversed(opened):
            each.close()


class Ping:
    """Whether the cluster answers; an answer holds for two seconds.

    Parameters
    ----------
    ask
        Tells what is wrong, or None.
    """

    def __init__(self, ask: Callable[[], str | None]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asked_at_s: float | None = None
        self._answer: str | None = None

    def __call__(self, now: Callable[[], float] = time.monotonic) -> str | None:
        """The last answer, or another where that is too old."""
        with self._lock:
            if self._asked_at_s is None or now() - self._asked_at_s > _PING_HOLDS_S:
                self._answer = self._ask()
                self._asked_at_s = now()
            return self._answer
