"""A dead letter and its headers, whose names have their one home here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby
from typing import Any

import msgspec

from faultline import topics
from faultline.errors import InvalidReading
from faultline.ports.broker import Broker, Headers, Message, Partition
from faultline.readings import completed, format_timestamp, parse_timestamp

CONFLICT = "conflict"
"""The reason of a reading whose machine and time are stored with other values."""
REPLAYED_FROM = "replayed_from"
"""Header of a message that was sent again: the offset of the letter that it was."""

_REASON = "reason"
_DETAIL = "detail"
_POSITIONS = "positions"
_SOURCE_TOPIC = "source_topic"
_SOURCE_PARTITION = "source_partition"
_SOURCE_OFFSET = "source_offset"
_TIME = "time"
HEADERS: Mapping[str, str] = {
    _REASON: "conflict, or invalid_ and what was at fault.",
    _DETAIL: "What is wrong, in sentences.",
    _POSITIONS: "Which readings of the message, counted from 0, as in 0-249,260; empty when it is "
    "the whole.",
    _SOURCE_TOPIC: "Where the refused message stands.",
    _SOURCE_PARTITION: "Its partition there.",
    _SOURCE_OFFSET: "Its offset there.",
    _TIME: "When it was refused, RFC 3339.",
}
"""What a letter's headers are and say; all are text in UTF-8."""
# Fields of a reading, and headers of a letter that stood in no topic; text in UTF-8 too.
_TOLD = ("machine_id", "machine_type")
# A thousand refusals in one message need not all be told.
_DETAIL_CHARACTERS = 2_000
# Headers count towards the size of a message. No message within its topic's bound comes near this.
_POSITIONS_CHARACTERS = 100_000
# More than a message can hold: what somebody else wrote must not fill the memory.
_MOST_POSITIONS = 1_000_000


class Source(msgspec.Struct, frozen=True):
    """Where the refused message stands."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Letter:
    """A dead letter.

    Attributes
    ----------
    offset
        Its own, in the dead-letter topic.
    at_ms
        When it was refused, milliseconds since the epoch.
    reason
        ``conflict``, or ``invalid_`` and what was at fault; empty if whoever wrote it gave none.
    detail
        What is wrong, in sentences.
    positions
        Which readings of the message, counted from 0; none when it is the whole, or too many to be
        told.
    source
        None if whoever wrote it did not say.
    headers
        Those that the message came with.
    """

    offset: int
    at_ms: int
    reason: str
    detail: str
    positions: tuple[int, ...]
    source: Source | None
    key: bytes | None
    value: bytes
    headers: Headers = ()

    @property
    def replayed_from(self) -> int | None:
        """The letter that this message was before, if it was sent again and refused again."""
        return _number(dict(self.headers).get(REPLAYED_FROM, b"").decode("utf-8", "replace"))

    @property
    def told(self) -> Mapping[str, str]:
        """What its readings leave out of themselves, by field: its MQTT topic told it."""
        if self.source is not None:
            return {}
        return {
            name: content.decode("utf-8", "replace")
            for name, content in self.headers
            if name in _TOLD
        }

    @cached_property
    def machines(self) -> tuple[str, ...]:
        """Machines that it is about: its key, and what is found in messages that are JSON."""
        try:
            named = _named.decode(completed(self.value, self.told))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            named = []
        found = [each.machine_id for each in (named if isinstance(named, list) else [named])]
        key = [] if self.key is None else [self.key.decode("utf-8", "backslashreplace")]
        return tuple(dict.fromkeys([*key, *(one for one in found if isinstance(one, str))]))


class _Named(msgspec.Struct):
    machine_id: Any = None


_named = msgspec.json.Decoder(_Named | list[_Named])


def told_headers(told: Mapping[str, str]) -> Headers:
    """The headers of what a letter's readings leave out of themselves; see `Letter.told`."""
    return tuple((name, told[name].encode("utf-8", "replace")) for name in _TOLD if name in told)


def letter_headers(
    source: Message | None, reason: str, detail: str, positions: Sequence[int], at_ms: int
) -> Headers:
    """The headers of a message's letter, in UTF-8; the message's own come first.

    Parameters
    ----------
    source
        None when it was refused before it stood in any topic.
    reason, detail, positions, at_ms
        As in `Letter`.
    """
    if len(detail) > _DETAIL_CHARACTERS:
        detail = f"{detail[:_DETAIL_CHARACTERS]}…"
    told_positions = positions_text(positions)
    told = {
        _REASON: reason,
        _DETAIL: detail,
        _POSITIONS: told_positions if len(told_positions) <= _POSITIONS_CHARACTERS else "",
        _TIME: format_timestamp(at_ms),
    }
    own: Headers = ()
    if source is not None:
        told |= {
            _SOURCE_TOPIC: source.partition.topic,
            _SOURCE_PARTITION: str(source.partition.number),
            _SOURCE_OFFSET: str(source.offset),
        }
        own = tuple(header for header in source.headers if header[0] not in HEADERS)
    return (*own, *((name, text.encode("utf-8", "replace")) for name, text in told.items()))


def read_letter(message: Message) -> Letter:
    """What a message of the dead-letter topic says; whatever its headers lack is left open."""
    told = {
        name: content.decode("utf-8", "replace")
        for name, content in message.headers
        if name in HEADERS
    }
    partition, offset = (
        _number(told.get(name, "")) for name in (_SOURCE_PARTITION, _SOURCE_OFFSET)
    )
    return Letter(
        offset=message.offset,
        at_ms=_time(told.get(_TIME, ""), message.timestamp_ms),
        reason=told.get(_REASON, ""),
        detail=told.get(_DETAIL, ""),
        positions=_positions(told.get(_POSITIONS, "")),
        source=None
        if partition is None or offset is None
        else Source(told.get(_SOURCE_TOPIC, ""), partition, offset),
        key=message.key,
        value=message.value,
        headers=tuple(header for header in message.headers if header[0] not in HEADERS),
    )


def letters_of(broker: Broker) -> Iterator[Letter]:
    """All letters there are now, one after the other, from the oldest.

    Raises
    ------
    Unavailable
        When the broker does not answer, also while they are being read.
    """
    for message in broker.read(Partition(topics.READINGS_DLQ.name, 0)):
        yield read_letter(message)


def positions_text(positions: Sequence[int]) -> str:
    """Positions as a letter tells them.

    >>> positions_text([0, 1, 2, 5, 7, 8])
    '0-2,5,7-8'
    """
    # In a run of neighbours position and index grow together.
    runs = groupby(enumerate(sorted(positions)), lambda item: item[1] - item[0])
    ends = ([position for _, position in run] for _, run in runs)
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in ends)


def _positions(text: str) -> tuple[int, ...]:
    known: list[range] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        from_, to = _number(first), _number(last or first)
        if from_ is not None and to is not None:
            known.append(range(from_, to + 1))
    if sum(max(0, each.stop - each.start) for each in known) > _MOST_POSITIONS:
        return ()
    return tuple(chain.from_iterable(known))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _time(text: str, otherwise_ms: int) -> int:
    try:
        return parse_timestamp(text)
    except InvalidReading:
        return otherwise_ms
