"""Holds what clients were told against what is stored. Pure.

What was acknowledged must be there, once, in the order of its machine; what was refused must not;
what is unknown may be or not. The topic decides the order, and which of two conflicting readings
stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from faultline.readings import Reading
from tests.history.arrivals import Arrivals, Identity, Place, letter_of
from tests.history.findings import Finding, Kind, Observed
from tests.history.operations import Operation, Outcome, Way


def check_readings(operations: Sequence[Operation], observed: Observed) -> list[Finding]:
    """Find what is wrong with readings and dead letters."""
    arrivals = Arrivals(observed.readings)
    return list(
        chain(
            _acknowledged_is_in_the_topic(operations, arrivals),
            _messages_are_in_the_topic(operations, observed),
            _nothing_else_is_in_the_topic(operations, arrivals),
            _each_machine_has_its_order(operations, arrivals),
            _the_topic_is_stored_once(arrivals, observed),
            _letters_are_those_of_the_topic(arrivals, observed),
        )
    )


def _acknowledged_is_in_the_topic(
    operations: Iterable[Operation], arrivals: Arrivals
) -> Iterator[Finding]:
    there = {_content(one.reading) for own in arrivals.by_machine.values() for one in own}
    for operation in operations:
        if operation.outcome is Outcome.ACKNOWLEDGED:
            for reading in operation.readings:
                if _content(reading) not in there:
                    named = f"{reading.machine_id} at {reading.timestamp_ms}"
                    yield Finding(Kind.LOST, f"{named} was acknowledged and is not in the topic")


def _messages_are_in_the_topic(
    operations: Sequence[Operation], observed: Observed
) -> Iterator[Finding]:
    """Those that clients write themselves, as often as that was acknowledged at least.

    A broker that was killed forgets what it had from a producer, and may take it again.
    """
    there = Counter(message.value for message in observed.readings)
    told = Counter(
        one.value
        for one in operations
        if one.way is Way.TOPIC and one.outcome is Outcome.ACKNOWLEDGED
    )
    for value, count in told.items():
        if there[value] < count:
            yield Finding(Kind.LOST, f"{value!r} is {there[value]} times in the topic, not {count}")


def _nothing_else_is_in_the_topic(
    operations: Iterable[Operation], arrivals: Arrivals
) -> Iterator[Finding]:
    possible = {
        _content(reading)
        for operation in operations
        if operation.outcome is not Outcome.REFUSED
        for reading in operation.readings
    }
    for arrival in chain.from_iterable(arrivals.by_machine.values()):
        if _content(arrival.reading) not in possible:
            yield Finding(Kind.NEVER_SENT, f"{arrival} was never sent, or was refused")


def _each_machine_has_its_order(
    operations: Iterable[Operation], arrivals: Arrivals
) -> Iterator[Finding]:
    """A new reading sent after another was acknowledged stands after that one's first copy."""
    for machine_id, own in arrivals.by_machine.items():
        partitions = {arrival.place.partition for arrival in own}
        if len(partitions) > 1:
            yield Finding(Kind.OUT_OF_ORDER, f"{machine_id} is in several partitions: {partitions}")
    acknowledged = defaultdict(list)
    attempted: dict[Identity, int] = {}
    for operation in operations:
        for reading in operation.readings:
            one = _identity(reading)
            attempted[one] = min(attempted.get(one, operation.invoked), operation.invoked)
        if operation.outcome is Outcome.ACKNOWLEDGED:
            acknowledged[operation.machine_id].append(operation)
    for machine_id, own_operations in acknowledged.items():
        yield from _in_order(machine_id, own_operations, attempted, arrivals)


def _in_order(
    machine_id: str,
    operations: Iterable[Operation],
    attempted: dict[Identity, int],
    arrivals: Arrivals,
) -> Iterator[Finding]:
    latest: tuple[Place, Reading] | None = None
    for operation in sorted(operations, key=lambda one: one.invoked):
        # One that was tried before may have come by that attempt: only the first binds it.
        new = [
            (arrivals.first[_identity(reading)].place, reading)
            for reading in operation.readings
            if attempted[_identity(reading)] == operation.invoked
            and _identity(reading) in arrivals.first
        ]
        for place, reading in new:
            if latest is not None and place <= latest[0]:
                yield Finding(
                    Kind.OUT_OF_ORDER,
                    f"{machine_id}: {reading.timestamp_ms} stands at {place}, before "
                    f"{latest[1].timestamp_ms} at {latest[0]}, which was sent first",
                )
            else:
                latest = place, reading


def _the_topic_is_stored_once(arrivals: Arrivals, observed: Observed) -> Iterator[Finding]:
    rows = Counter((row.machine_id, row.timestamp_ms) for row in observed.rows)
    for identity, count in rows.items():
        if count > 1:
            yield Finding(Kind.DUPLICATED, f"{identity} is stored {count} times")
    for identity in arrivals.first.keys() - rows.keys():
        yield Finding(Kind.LOST, f"{identity} is in the topic and not stored")
    for row in observed.rows:
        first = arrivals.first.get((row.machine_id, row.timestamp_ms))
        if first is None:
            yield Finding(Kind.NEVER_SENT, f"{row} is stored and not in the topic")
        elif (row.machine_type, dict(row.sensors)) != (
            first.reading.machine_type,
            dict(first.reading.sensors),
        ):
            yield Finding(Kind.WRONG_VALUES, f"{row} is stored, and {first} came first")
    machines = Counter(machine_id for machine_id, _ in arrivals.first)
    for machine_id in machines.keys() | observed.counts.keys():
        counted = observed.counts.get(machine_id, 0)
        if counted != machines[machine_id]:
            kind = Kind.LOST if counted < machines[machine_id] else Kind.DUPLICATED
            yield Finding(
                kind, f"{machine_id} has {machines[machine_id]} readings; counted are {counted}"
            )


def _letters_are_those_of_the_topic(arrivals: Arrivals, observed: Observed) -> Iterator[Finding]:
    """At least once: a letter that was written before a crash is written again."""
    written = {letter_of(message) for message in observed.letters}
    for letter in arrivals.letters - written:
        yield Finding(Kind.MISSING_LETTER, f"there is none like {letter}"[:500])
    for letter in written - arrivals.letters:
        yield Finding(Kind.UNFOUNDED_LETTER, f"nothing in the topic asks for {letter}"[:500])


def _identity(reading: Reading) -> Identity:
    return reading.machine_id, reading.timestamp_ms


def _content(reading: Reading) -> tuple[object, ...]:
    return (
        *_identity(reading),
        reading.machine_type,
        *sorted((name, repr(value)) for name, value in reading.sensors.items()),
    )
