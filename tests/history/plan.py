"""What a machine's client sends, by a seed: good readings, and everything that is not right.

Pure: it sends nothing. Every reading has a number of its own among its values, so that no two are
the same by chance.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from faultline import readings as codec
from faultline.errors import InvalidReading
from faultline.readings import Reading, encode_batch, make_reading
from tests.history.operations import Operation, Way

START_MS = 1_795_000_000_000
STEP_MS = 1_000
_MOST = 8
# An episode of bad readings, long enough for an alarm, and the quiet in which it closes.
_BAD_ROWS, _GOOD_ROWS = range(8, 25), range(15, 60)

# Each is followed by a number, so that a message is known again; `%d` says where.
_POISON = (
    b"not json %d",
    b'{"machine_id": "cut sho %d',
    b"\xff\xfe\x00 %d",
    b'"a string %d"',
    b"[[[[[[%d]]]]]]",
    b'{"machine_id": "", "timestamp": %d, "sensors": {"flow": 1}}',
    b'{"machine_id": "line\\nfeed", "timestamp": %d, "sensors": {"flow": 1}}',
    b'{"machine_id": "a", "machine_type": "Upper", "timestamp": %d, "sensors": {"flow": 1}}',
    b'{"machine_id": "a", "timestamp": "0001-01-01T00:00:00Z", "sensors": {"flow": %d}}',
    b'{"machine_id": "a", "timestamp": %d, "sensors": {}}',
    b'{"machine_id": "a", "timestamp": %d, "sensors": {"flow": NaN}}',
    b'{"machine_id": "a", "timestamp": %d, "sensors": {"flow": 1e101}}',
    b'{"machine_id": "a", "timestamp": %d, "sensors": {"flow": true}}',
    b'{"machine_id": "lone \\ud800", "timestamp": %d, "sensors": {"flow": 1}}',
)


@dataclass
class Plan:
    """One machine's client: what it sends next.

    Parameters
    ----------
    machine_id, machine_type
        Whose readings.
    seed
        The same gives the same again.
    """

    machine_id: str
    machine_type: str
    seed: str
    _random: random.Random = field(init=False)
    _row: int = 0
    _left: int = 0
    _is_bad: bool = True
    _number: int = 0
    _held_back: list[Reading] = field(default_factory=list)
    _sent: list[Reading] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def next(self) -> Operation:
        """Draw the next thing to send."""
        kinds: Sequence[Callable[[], Operation]] = (
            self._new,
            self._again,
            self._late,
            self._conflict,
            self._poison,
            self._mixed,
        )
        [draw] = self._random.choices(kinds, weights=(70, 8, 6, 6, 6, 4))
        return draw()

    def last(self) -> Operation:
        """New readings and nothing else, to end with."""
        return self._new()

    def _new(self) -> Operation:
        rows = [self._next_reading() for _ in range(self._random.randint(1, _MOST))]
        if len(rows) > 2 and self._random.random() < 0.1:
            self._held_back.append(rows.pop(self._random.randrange(len(rows))))
        return self._operation(rows)

    def _again(self) -> Operation:
        return self._operation(self._earlier() or [self._next_reading()])

    def _late(self) -> Operation:
        rows, self._held_back = self._held_back, []
        self._random.shuffle(rows)
        return self._operation([*rows, self._next_reading()])

    def _conflict(self) -> Operation:
        rows = [self._at(one.timestamp_ms, 0.5) for one in self._earlier()]
        rows.insert(self._random.randint(0, len(rows)), self._next_reading())
        return self._operation(rows)

    def _poison(self) -> Operation:
        return self._bytes(self._random.choice(_POISON) % self._next_number())

    def _mixed(self) -> Operation:
        """Good and bad in one message."""
        good = [self._next_reading() for _ in range(self._random.randint(1, 3))]
        parts = [codec.encode(one) for one in good]
        for _ in range(self._random.randint(1, 2)):
            bad = self._random.choice(_POISON[5:9]) % self._next_number()
            parts.insert(self._random.randint(0, len(parts)), bad)
        self._sent += good
        return self._bytes(b"[%s]" % b",".join(parts))

    def _operation(self, rows: Sequence[Reading]) -> Operation:
        known = {one.timestamp_ms for one in self._sent}
        self._sent += [one for one in rows if one.timestamp_ms not in known]
        return self._bytes(encode_batch(rows))

    def _bytes(self, value: bytes) -> Operation:
        way = self._random.choice(tuple(Way))
        return Operation(self.machine_id, way, value, valid(value))

    def _earlier(self) -> list[Reading]:
        count = min(len(self._sent), self._random.randint(1, 3))
        start = self._random.randint(0, len(self._sent) - count)
        return self._sent[start : start + count]

    def _next_reading(self) -> Reading:
        if self._left == 0:
            self._is_bad = not self._is_bad
            self._left = self._random.choice(_BAD_ROWS if self._is_bad else _GOOD_ROWS)
        self._left -= 1
        self._row += 1
        centre = 9.0 if self._is_bad else 0.0
        return self._at(START_MS + self._row * STEP_MS, centre)

    def _at(self, timestamp_ms: int, centre: float) -> Reading:
        values: dict[str, float | None] = {
            "flow": self._random.gauss(centre, 0.3),
            "heat": self._random.gauss(-centre, 0.3),
            # No version looks at it.
            "number": float(self._next_number()),
        }
        return make_reading(self.machine_id, timestamp_ms, values, self.machine_type)

    def _next_number(self) -> int:
        self._number += 1
        return self._number


def valid(value: bytes) -> list[Reading]:
    """The readings of a message that are to be stored."""
    try:
        return codec.decode(value).readings
    except InvalidReading:
        return []


def plans(seed: int, machine_type: str, machines: int) -> Iterator[Plan]:
    """One for each machine; among the ids are such as break what quotes badly."""
    odd = ("' OR 1=1; --", '"quoted"\\', "../../etc", "<b>&amp;</b>", "Pümpe 🚰", "%s {0} $1")
    for number in range(machines):
        tail = odd[number % len(odd)] if number % 2 else ""
        machine_id = f"{machine_type}/{number}{tail}"
        yield Plan(machine_id, machine_type, f"{seed}/{number}")
