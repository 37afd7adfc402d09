"""What `sensor.readings` holds, taken apart: the order that all the rest must agree with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from faultline import readings as codec
from faultline.dead_letters import read_letter
from faultline.errors import InvalidReading
from faultline.ports.broker import Message, Partition
from faultline.readings import Reading

Identity = tuple[str, int]
"""Machine and time."""


class Place(NamedTuple):
    """Where a reading stands: the positions within a partition can be compared."""

    partition: Partition
    offset: int
    position: int


class Arrival(NamedTuple):
    """A valid reading in the topic."""

    place: Place
    reading: Reading


class Letter(NamedTuple):
    """What a dead letter has to say of a message."""

    partition: Partition
    offset: int
    reason: str
    positions: tuple[int, ...]
    value: bytes


class Arrivals:
    """The topic's readings, and the dead letters that follow from it.

    Attributes
    ----------
    by_machine
        A machine's valid readings in their order, repeated ones among them.
    first
        The one of each identity that stays.
    letters
        A letter for each message that is refused, wholly or in part, and for each with conflicts.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self.by_machine: Mapping[str, list[Arrival]] = defaultdict(list)
        self.first: dict[Identity, Arrival] = {}
        self.letters: set[Letter] = set()
        for message in messages:
            self._take(message)

    def _take(self, message: Message) -> None:
        try:
            decoded = codec.decode(message.value)
        except InvalidReading as error:
            self._refuse(message, str(error), ())
            return
        refused = {position for position, _ in decoded.refusals}
        if refused:
            self._refuse(message, decoded.refusals[0].reason, tuple(sorted(refused)))
        count = len(decoded.readings) + len(refused)
        places = [position for position in range(count) if position not in refused]
        conflicts = []
        for position, reading in zip(places, decoded.readings, strict=True):
            arrival = Arrival(Place(message.partition, message.offset, position), reading)
            self.by_machine[reading.machine_id].append(arrival)
            first = self.first.setdefault((reading.machine_id, reading.timestamp_ms), arrival)
            if not same(first.reading, reading):
                conflicts.append(position)
        if conflicts:
            letter = Letter(*_source(message), "conflict", tuple(conflicts), message.value)
            self.letters.add(letter)

    def _refuse(self, message: Message, why: str, positions: tuple[int, ...]) -> None:
        reason = f"invalid_{codec.field_of(why)}"
        self.letters.add(Letter(*_source(message), reason, positions, message.value))


def same(one: Reading, other: Reading) -> bool:
    """Whether two readings of an identity say the same."""
    return (one.machine_type, dict(one.sensors)) == (other.machine_type, dict(other.sensors))


def letter_of(message: Message) -> Letter:
    """What a message of the dead-letter topic says."""
    letter = read_letter(message)
    assert letter.source is not None
    return Letter(
        Partition(letter.source.topic, letter.source.partition),
        letter.source.offset,
        letter.reason,
        letter.positions,
        letter.value,
    )


def _source(message: Message) -> tuple[Partition, int]:
    return message.partition, message.offset
