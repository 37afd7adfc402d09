"""Readings on their way into the stack."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from faultline.demo.feed import Feed, Feeds, HoldingSink
from faultline.demo.tempo import Stopped
from faultline.errors import Unavailable
from faultline.readings import Reading, make_reading

DEADLINE_S = 30.0


class ListSink:
    """Keeps what it gets; fails from the reading `fails_at` on."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.readings: list[Reading] = []
        self.flushed = threading.Event()
        self._fails_at = fails_at

    def send(self, readings: Sequence[Reading]) -> None:
        if self._fails_at is not None and len(self.readings) >= self._fails_at:
            raise Unavailable("the other side is gone")
        self.readings.extend(readings)

    def flush(self) -> None:
        self.flushed.set()


def reading(machine_id: str, second: int) -> Reading:
    return make_reading(machine_id, second * 1_000, {"flow": 1.0})


def endless(machine_id: str, begun: threading.Event) -> Iterator[list[Reading]]:
    second = 0
    while True:
        yield [reading(machine_id, second)]
        begun.set()
        second += 1


def ended(feed: Feed) -> Feed:
    feed.start()
    feed.join(DEADLINE_S)
    assert not feed.running
    return feed


def test_a_feed_counts_what_it_has_sent_per_machine() -> None:
    sink = ListSink()
    batches = [[reading("a", 1), reading("b", 1)], [reading("a", 2)]]
    feed = ended(Feed("test", batches, sink))
    assert feed.sent == {"a": 2, "b": 1}
    assert feed.last_ms == {"a": 2_000, "b": 1_000}


def test_a_feed_that_ends_has_flushed() -> None:
    sink = ListSink()
    ended(Feed("test", [[reading("a", 1)]], sink))
    assert sink.flushed.is_set()


def test_what_ends_a_feed_is_raised_to_whoever_asks() -> None:
    feed = ended(Feed("test", [[reading("a", 1)]], ListSink(fails_at=0)))
    with pytest.raises(Unavailable, match="gone"):
        feed.check()


def test_a_reading_that_the_sink_refused_is_not_counted() -> None:
    feed = ended(Feed("test", [[reading("a", 1)], [reading("a", 2)]], ListSink(fails_at=1)))
    assert feed.sent == {"a": 1}


def test_stop_ends_a_feed_between_two_batches_and_flushes() -> None:
    sink, begun = ListSink(), threading.Event()
    feed = Feed("test", endless("a", begun), sink)
    feed.start()
    assert begun.wait(DEADLINE_S)
    feed.stop(DEADLINE_S)
    assert sink.flushed.is_set()
    assert feed.sent["a"] == len(sink.readings)


def test_a_source_that_is_told_to_stop_ends_its_feed_well() -> None:
    def batches() -> Iterator[list[Reading]]:
        yield [reading("a", 1)]
        raise Stopped("told to stop")

    sink = ListSink()
    feed = ended(Feed("test", batches(), sink))
    feed.check()
    assert sink.flushed.is_set()


def test_stopping_a_feed_that_never_started_does_nothing() -> None:
    Feed("test", [], ListSink()).stop()


def test_several_feeds_have_come_as_far_as_the_slowest_that_runs() -> None:
    begun, release = threading.Event(), threading.Event()

    def slow() -> Iterator[list[Reading]]:
        yield [reading("b", 5)]
        begun.set()
        release.wait(DEADLINE_S)

    quick = ended(Feed("quick", [[reading("a", 1)], [reading("a", 9)]], ListSink()))
    waiting = Feed("waiting", slow(), ListSink())
    waiting.start()
    try:
        assert begun.wait(DEADLINE_S)
        assert Feeds([quick, waiting]).come_to_ms == 5_000
    finally:
        release.set()
        waiting.stop(DEADLINE_S)


def test_one_feed_that_failed_does_not_keep_the_others_from_being_stopped() -> None:
    begun = threading.Event()
    broken = ended(Feed("broken", [[reading("a", 1)]], ListSink(fails_at=0)))
    well = Feed("well", endless("b", begun), ListSink())
    well.start()
    with pytest.raises(Unavailable):
        Feeds([broken, well]).stop()
    assert not well.running


def test_readings_wait_until_there_is_somewhere_to_send_them() -> None:
    holding, sink = HoldingSink(), ListSink()
    holding.send([reading("a", 1)])
    holding.open(sink)
    holding.send([reading("a", 2)])
    assert [kept.timestamp_ms for kept in sink.readings] == [1_000, 2_000]


def test_what_waits_is_bounded() -> None:
    holding = HoldingSink(limit=1)
    holding.send([reading("a", 1)])
    with pytest.raises(OverflowError, match="more than 1"):
        holding.send([reading("a", 2)])
