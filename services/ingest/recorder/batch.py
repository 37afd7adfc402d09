"""A batch: consecutive messages taken apart, ready to be stored in one transaction.

Knows nothing of where the messages come from or go to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from faultline import readings as codec
from faultline import topics
from faultline.alarms import AlarmEvent
from faultline.comparisons import Comparison
from faultline.dead_letters import CONFLICT
from faultline.drift import DriftEvent
from faultline.errors import InvalidReading
from faultline.labels import FaultLabel
from faultline.ports.broker import Message, Partition
from faultline.ports.stores import OffsetRange, RecordBatch
from faultline.readings import Reading
from faultline.verdicts import VerdictBatch
from services.ingest.recorder.dead_letters import DeadLetter
from services.ingest.recorder.facts import NAMES, InvalidFact, decode_fact


class _Source(NamedTuple):
    """Which message the readings from `start` on came from, and which of its items were refused."""

    start: int
    message: Message
    refused: tuple[int, ...]


class Batch:
    """What was consumed and is not stored yet.

    Attributes
    ----------
    letters
        The messages that were refused, wholly or in part.
    refused
        Readings that were refused, by the field at fault; a message as a whole counts as one.
    rows, size_bytes
        Readings and verdicts in it; bytes of its messages.
    """

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.refused: Counter[str] = Counter()
        self.rows = 0
        self.size_bytes = 0
        self._offsets: dict[Partition, OffsetRange] = {}
        self._readings: list[Reading] = []
        self._sources: list[_Source] = []
        self._verdicts: list[VerdictBatch] = []
        self._alarm_events: list[AlarmEvent] = []
        self._labels: list[FaultLabel] = []
        self._comparisons: list[Comparison] = []
        self._drift_events: list[DriftEvent] = []
        self._conflicts: dict[int, DeadLetter] = {}

    def __bool__(self) -> bool:
        return bool(self._offsets)

    @property
    def content(self) -> RecordBatch:
        """What is to be stored."""
        return RecordBatch(
            self._offsets,
            self._readings,
            self._verdicts,
            self._alarm_events,
            self._labels,
            self._comparisons,
            self._drift_events,
        )

    def add(self, message: Message) -> None:
        """Take one more message; those of a partition come in order."""
        seen = self._offsets.get(message.partition)
        first = message.offset if seen is None else seen.first
        self._offsets[message.partition] = OffsetRange(first, message.offset + 1)
        self.size_bytes += len(message.value)
        try:
            if message.partition.topic == topics.READINGS.name:
                self._add_readings(message)
            else:
                self._add_fact(message)
        except InvalidFact as error:
            reason = f"invalid_{NAMES[message.partition.topic]}"
            self.letters.append(DeadLetter(message, reason, str(error)))
        except InvalidReading as error:
            field = codec.field_of(str(error))
            self.refused[field] += 1
            self.letters.append(DeadLetter(message, f"invalid_{field}", str(error)))

    def conflicts(self, indexes: Sequence[int]) -> list[DeadLetter]:
        """Dead letters for readings that are stored with other values, one per message.

        Asked again for the same readings, it gives the same letters, sent or not.

        Parameters
        ----------
        indexes
            Which of `content.readings`.
        """
        positions: dict[int, list[int]] = {}
        for index in indexes:
            number = bisect_right(self._sources, index, key=lambda source: source.start) - 1
            positions.setdefault(number, []).append(index - self._sources[number].start)
        return [self._conflict(number, own) for number, own in positions.items()]

    def _conflict(self, number: int, kept: Sequence[int]) -> DeadLetter:
        source = self._sources[number]
        if number not in self._conflicts:
            places = [_place(position, source.refused) for position in kept]
            identities = [self._readings[source.start + position] for position in kept[:3]]
            told = "; ".join(
                f"{reading.machine_id} at {codec.format_timestamp(reading.timestamp_ms)}"
                for reading in identities
            )
            more = f" and {len(kept) - len(identities)} more" if len(kept) > 3 else ""
            self._conflicts[number] = DeadLetter(
                source.message,
                CONFLICT,
                f"stored already with other values, which stay: {told}{more}",
                places,
            )
        return self._conflicts[number]

    def _add_readings(self, message: Message) -> None:
        decoded = codec.decode(message.value)
        refused = tuple(position for position, _ in decoded.refusals)
        if decoded.readings:
            self._sources.append(_Source(len(self._readings), message, refused))
            self._readings += decoded.readings
            self.rows += len(decoded.readings)
        if decoded.refusals:
            fields = [codec.field_of(why) for _, why in decoded.refusals]
            self.refused.update(fields)
            detail = "; ".join(f"[{position}] {why}" for position, why in decoded.refusals)
            self.letters.append(DeadLetter(message, f"invalid_{fields[0]}", detail, refused))

    def _add_fact(self, message: Message) -> None:
        fact = decode_fact(message.partition.topic, message.value)
        match fact:
            case VerdictBatch():
                self._verdicts.append(fact)
                self.rows += len(fact.verdicts)
            case AlarmEvent():
                self._alarm_events.append(fact)
            case FaultLabel():
                self._labels.append(fact)
            case Comparison():
                self._comparisons.append(fact)
            case DriftEvent():
                self._drift_events.append(fact)


def _place(kept: int, refused: Sequence[int]) -> int:
    """Where in its message the `kept`-th valid reading stands.

    >>> [_place(kept, (0, 2)) for kept in range(3)]
    [1, 3, 4]
    """
    place = kept
    for position in refused:
        if position <= place:
            place += 1
    return place
