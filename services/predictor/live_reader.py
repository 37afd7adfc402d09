"""Reads the topics of the live stream, each event once.

After a crash the readings since the last checkpoint are judged again, and what was said of them is
on the topics again. So it remembers what came lately, and first looks back over what came before
the place where it begins.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Protocol

from msgspec import structs

from faultline.alarms import AlarmEvent
from faultline.drift import DriftEvent
from faultline.events import ModelEvent
from faultline.ports.broker import Message, Partition
from faultline.ports.feed import Follower
from faultline.telemetry import logger
from services.predictor.live_events import Content, LiveEvent, Unreadable, decoded

log = logger(__name__)

_LOOK_BACK = 1_000
"""Messages of a partition; a second's, between two checkpoints, may come again."""
_REMEMBERED = 100_000


class Memory(Protocol):
    """What says whether something comes for the first time."""

    def __call__(self, identity: Hashable) -> bool:
        """Note it; False when it was there before."""


class Lately:
    """Remembers at least the last so many, and at most twice as many."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._now: set[int] = set()
        self._before: set[int] = set()

    def __call__(self, identity: Hashable) -> bool:
        """Note it; False when it was there before."""
        key = hash(identity)
        if key in self._now or key in self._before:
            return False
        self._now.add(key)
        if len(self._now) >= self._most:
            self._now, self._before = set(), self._now
        return True


class LiveReader:
    """Events from some place in every partition on. Used from one thread at a time.

    Parameters
    ----------
    start
        The first message of each partition that is an event.
    """

    def __init__(self, follower: Follower, start: Mapping[Partition, int]) -> None:
        self._follower = follower
        self._start = start
        self._is_first = Lately()
        for partition, offset in start.items():
            first = follower.extents[partition].first
            follower.seek(partition, max(first, offset - _LOOK_BACK))

    def poll(self, timeout_s: float) -> tuple[list[LiveEvent], Mapping[Partition, int]]:
        """Events, and where the reader stands after them; raises `Unavailable`."""
        events = []
        for message in self._follower.poll(timeout_s):
            content = self._news_of(message)
            if content is not None and message.offset >= self._start[message.partition]:
                events.append(LiveEvent(message.partition, message.offset + 1, content))
        reached = self._follower.positions()
        return events, {one: max(offset, reached[one]) for one, offset in self._start.items()}

    def close(self) -> None:
        """Let go."""
        self._follower.close()

    def _news_of(self, message: Message) -> Content | None:
        try:
            return _first_time(decoded(message), self._is_first)
        except Unreadable as error:
            # From a later release, perhaps: the others are not to wait for it.
            log.warning("an event cannot be read", topic=message.partition.topic, why=str(error))
            return None


def _first_time(content: Content, is_first: Memory) -> Content | None:
    """What of it comes for the first time."""
    if isinstance(content, AlarmEvent | ModelEvent | DriftEvent):
        return content if is_first(content.event_id) else None
    verdicts = tuple(
        verdict
        for verdict in content.verdicts
        if is_first((content.machine_id, verdict.timestamp_ms, verdict.status))
    )
    if len(verdicts) == len(content.verdicts):
        return content
    return structs.replace(content, verdicts=verdicts) if verdicts else None
