"""What a check can find, and what it is given to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from faultline.alarms import Alarm, AlarmEvent
from faultline.ports.broker import Message
from faultline.ports.promotions import Promotion
from faultline.ports.stores import StoredVerdict


class Kind(StrEnum):
    """What is wrong."""

    LOST = "lost"
    DUPLICATED = "duplicated"
    OUT_OF_ORDER = "out of order"
    WRONG_VALUES = "wrong values"
    NEVER_SENT = "never sent"
    MISSING_LETTER = "missing dead letter"
    UNFOUNDED_LETTER = "unfounded dead letter"
    MISSING_VERDICT = "missing verdict"
    WRONG_VERDICT = "wrong verdict"
    WRONG_VERSION = "wrong version"
    WRONG_ALARM = "wrong alarm"


class Finding(NamedTuple):
    """One thing that is wrong."""

    kind: Kind
    what: str


class Row(NamedTuple):
    """A stored reading."""

    machine_id: str
    timestamp_ms: int
    machine_type: str
    sensors: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What topics and tables hold when all is quiet again. Topics in the order of their partitions.

    Attributes
    ----------
    readings, letters, verdicts, alarms
        `sensor.readings`, `sensor.readings.dlq`, `sensor.verdicts`, `sensor.alarms`.
    rows, counts
        The tables `readings` and, by machine, `machines`.
    stored_verdicts, stored_alarms, stored_events, promotions
        The tables of the same names.
    """

    readings: Sequence[Message] = ()
    letters: Sequence[Message] = ()
    verdicts: Sequence[Message] = ()
    alarms: Sequence[Message] = ()
    rows: Sequence[Row] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    stored_verdicts: Sequence[StoredVerdict] = ()
    stored_alarms: Sequence[Alarm] = ()
    stored_events: Sequence[AlarmEvent] = ()
    promotions: Sequence[Promotion] = ()
