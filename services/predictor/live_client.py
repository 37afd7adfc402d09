"""One client of the live stream: what it missed since it was last there, then what comes.

Whether by its own reader or through its queue, each message passes the client's position once: so
none comes twice, and the two may overlap where one takes over from the other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, WouldBlock, to_thread
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from faultline.errors import Unavailable
from faultline.ports.feed import Follower
from services.predictor.live import Listener, LiveEvents, Offsets, Queued, queued
from services.predictor.live_events import (
    KINDS,
    TOPICS,
    Gap,
    Kind,
    Wanted,
    framed,
    with_id,
)
from services.predictor.live_position import Position, from_id
from services.predictor.live_reader import LiveReader

MOST_BEHIND = 10_000
"""Messages of one partition that are sent again to a client that comes back."""

_RETRY_MS = 3_000
_HEARTBEAT_S = 15.0
_READ_POLL_S = 0.2
_THREADS = 4
_MOST_READERS = 16

_Result = TypeVar("_Result")


class Readers:
    """What bounds the reading of what was missed, over all clients; the others wait.

    Attributes
    ----------
    threads
        Of their own: reading must take none from the requests.
    open
        Readers beside the common one: each has a thread and connections of Kafka's client.
    """

    def __init__(self, threads: int = _THREADS, most_open: int = _MOST_READERS) -> None:
        self.threads = CapacityLimiter(threads)
        self.open = CapacityLimiter(most_open)


class LiveClient:
    """A client that has been admitted."""

    def __init__(
        self,
        live: LiveEvents,
        readers: Readers,
        *,
        heartbeat_s: float = _HEARTBEAT_S,
        most_behind: int = MOST_BEHIND,
    ) -> None:
        self._live = live
        self._readers = readers
        self._heartbeat_s = heartbeat_s
        self._most_behind = most_behind
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._listener: Listener | None = None
        self._follower: Follower | None = None
        self._has_room = False
        self._position: Position | None = None
        self._sent_at_s = self._loop.time()
        # One object, by which it is known.
        self._wake: Callable[[], None] = self._wake_up
        live.admit(self._wake)

    def _wake_up(self) -> None:
        # The loop may have ended before the thread that calls has heard of it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)

    async def close(self) -> None:
        """Let go of everything."""
        self._live.dismiss(self._wake)
        if self._listener is not None:
            self._live.leave(self._listener)
        await self._close_follower()

    async def stream(self, wanted: Wanted, last_event_id: str | None) -> AsyncIterator[bytes]:
        """Everything that goes over the wire, until the service ends."""
        yield format_sse_event(retry=_RETRY_MS)
        chunks = (
            self._live_chunks(wanted)
            if last_event_id is None
            else self._resumed_chunks(wanted, last_event_id)
        )
        async for chunk in chunks:
            if chunk:
                self._sent_at_s = self._loop.time()
                yield chunk
            elif self._loop.time() - self._sent_at_s >= self._heartbeat_s:
                self._sent_at_s = self._loop.time()
                yield self._heartbeat()

    # What was missed ----------------------------------------------------------------------------

    async def _resumed_chunks(self, wanted: Wanted, last_event_id: str) -> AsyncIterator[bytes]:
        """From an id on; empty chunks where time passes."""
        while self._follower is None and not self._live.ended:
            if not (await self._may_read() and await self._patiently(self._open_follower)):
                yield b""
        if self._follower is None:
            return
        reader, gap = self._placed(self._follower, last_event_id)
        if gap is not None:
            yield self._gap(gap)
        ends = {partition: extent.end for partition, extent in self._follower.extents.items()}
        async for chunk in self._read_up_to(reader, ends, wanted):
            yield chunk
        # From here on events are queued, and what comes until then is read: a short way.
        async for chunk in self._joined(wanted):
            yield chunk
        if self._listener is not None and self._listener.joined_at is not None:
            async for chunk in self._read_up_to(reader, self._listener.joined_at, wanted):
                yield chunk
        await self._close_follower()
        async for chunk in self._live_chunks(wanted):
            yield chunk

    def _placed(self, follower: Follower, last_event_id: str) -> tuple[LiveReader, Gap | None]:
        """Stand where the id says, or as far back as may be; says what that leaves out."""
        extents = follower.extents
        given = from_id(last_event_id, TOPICS, extents)
        if given is None or any(given[each] > extent.end for each, extent in extents.items()):
            start = {partition: extent.end for partition, extent in extents.items()}
            gap: Gap | None = Gap(reason="unknown_id", missed={})
        else:
            start = {
                partition: max(given[partition], first, end - self._most_behind)
                for partition, (first, end) in extents.items()
            }
            missed: Counter[Kind] = Counter()
            for partition, offset in start.items():
                missed[KINDS[partition.topic]] += offset - given[partition]
            gap = Gap(reason="behind", missed=+missed) if missed.total() else None
        self._position = Position(start)
        return LiveReader(follower, start), gap

    async def _read_up_to(
        self, reader: LiveReader, target: Offsets, wanted: Wanted
    ) -> AsyncIterator[bytes]:
        assert self._position is not None
        while not (self._live.ended or self._position.has_reached(target)):
            read = await self._patiently(partial(_read, reader, wanted))
            if read is None:
                yield b""
                continue
            events, reached = read
            chunk = self._chunk(events)
            self._position.reach(reached)
            yield chunk

    async def _patiently(self, call: Callable[[], _Result]) -> _Result | None:
        """Do what blocks in a thread; None when the broker could not be reached."""
        try:
            return await to_thread.run_sync(call, limiter=self._readers.threads)
        except Unavailable:
            await self._news_or(self._live.retry_s)
            return None

    async def _may_read(self) -> bool:
        """Whether there is room for its reader; waits a moment where there is none."""
        if not self._has_room:
            try:
                self._readers.open.acquire_on_behalf_of_nowait(self)
            except WouldBlock:
                await self._news_or(self._live.retry_s)
                return False
            self._has_room = True
        return True

    def _open_follower(self) -> bool:
        # Kept by whoever opened it: the client may be gone by then.
        self._follower = self._live.feed.open(TOPICS)
        return True

    async def _close_follower(self) -> None:
        follower, self._follower = self._follower, None
        if follower is not None:
            await to_thread.run_sync(follower.close, limiter=self._readers.threads)
        if self._has_room:
            self._has_room = False
            self._readers.open.release_on_behalf_of(self)

    # What comes ---------------------------------------------------------------------------------

    async def _joined(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """Join, and wait until it is known from where on events come."""
        if self._listener is None:
            self._listener = self._live.join(wanted, self._wake)
        while self._listener.joined_at is None and not self._live.ended:
            yield b""
            await self._news_or(self._heartbeat_s)

    async def _live_chunks(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """Whatever comes through the queue; empty chunks where nothing does."""
        async for chunk in self._joined(wanted):
            yield chunk
        listener = self._listener
        if listener is None or listener.joined_at is None:
            return
        if self._position is None:
            self._position = Position(listener.joined_at)
            # Who is cut off before the first event shall miss nothing either.
            yield with_id(b"\n", self._id())
        while not self._live.ended:
            dropped, dropped_to, events, position = listener.take()
            if dropped:
                self._position.reach(dropped_to)
                yield self._gap(Gap(reason="slow", missed=dict(dropped)))
            chunk = self._chunk(events)
            if position is not None:
                self._position.reach(position)
            yield chunk
            if not events:
                await self._news_or(self._heartbeat_s)

    async def _news_or(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()

    # On the wire --------------------------------------------------------------------------------

    def _chunk(self, events: Sequence[Queued]) -> bytes:
        assert self._position is not None
        sent: Counter[Kind] = Counter()
        frames = []
        for partition, next_offset, kind, frame in events:
            if self._position.passes(partition, next_offset):
                frames.append(with_id(frame, self._id()))
                sent[kind] += 1
        for kind, count in sent.items():
            self._live.metrics.live_events.labels(kind, "sent").inc(count)
        return b"".join(frames)

    def _gap(self, gap: Gap) -> bytes:
        return with_id(framed("gap", gap.model_dump_json()), self._id())

    def _heartbeat(self) -> bytes:
        # With an id: who is sent little shall not fall behind for that.
        return KEEPALIVE_COMMENT if self._position is None else with_id(b": ping\n\n", self._id())

    def _id(self) -> str:
        assert self._position is not None
        return self._position.as_id(TOPICS)


def _read(reader: LiveReader, wanted: Wanted) -> tuple[list[Queued], Offsets]:
    events, position = reader.poll(_READ_POLL_S)
    return queued(events, wanted), position
