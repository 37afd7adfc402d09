"""The live machines of this replica: judges batches of the stream and single requests.

Knows no broker and no HTTP. What a batch does to the machines is computed first and applied after
it has been published, so that a failure in between leaves nothing half done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from faultline import readings as codec
from faultline.alarms import AlarmEvent, AlarmPolicy
from faultline.errors import InvalidReading
from faultline.judge import EVERYTHING, Model, judge
from faultline.machine_state import MachineState
from faultline.ports.broker import Message, Partition
from faultline.readings import Reading
from faultline.verdicts import Verdict, VerdictBatch
from services.predictor.snapshots import LiveMachine

Models = Callable[[str], Model | None]


@dataclass(frozen=True)
class Cycle:
    """What judging a batch of messages came to. Nothing of it has happened yet.

    Attributes
    ----------
    offsets
        Of the next message, per partition.
    machines
        The states that the batch leaves behind.
    judged, refused, replayed, unreadable
        Readings judged, readings that break the wire format, readings that a snapshot covers
        already, messages that cannot be read at all.
    """

    offsets: Mapping[Partition, int]
    machines: Mapping[Partition, Mapping[str, LiveMachine]]
    verdicts: Sequence[VerdictBatch]
    alarm_events: Sequence[AlarmEvent]
    judged: int = 0
    refused: int = 0
    replayed: int = 0
    unreadable: int = 0


class Judged(NamedTuple):
    """One reading's verdict, and the version that gave it."""

    reading: Reading
    verdict: Verdict
    model: Model | None


@dataclass
class _Arrived:
    """A machine's readings in a batch, and the offset after the last of them."""

    readings: list[Reading] = field(default_factory=list)
    next_offset: int = 0


class Fleet:
    """The machines of the partitions that this replica owns.

    The stream's thread changes it; others may read it.

    Parameters
    ----------
    models
        The version that judges a machine type at this moment.
    """

    def __init__(self, models: Models, policy: AlarmPolicy) -> None:
        self._models = models
        self._policy = policy
        self._machines: dict[Partition, dict[str, LiveMachine]] = {}

    def __len__(self) -> int:
        return sum(len(machines) for machines in self._machines.values())

    def own(self, partition: Partition, machines: Mapping[str, LiveMachine]) -> None:
        """Take over a partition with the machines restored for it."""
        self._machines[partition] = dict(machines)

    def disown(self, partitions: Collection[Partition] | None = None) -> None:
        """Forget partitions, all of them when None."""
        for partition in list(self._machines) if partitions is None else partitions:
            self._machines.pop(partition, None)

    def owned(self) -> Collection[Partition]:
        """The partitions that this replica owns."""
        return tuple(self._machines)

    def machine(self, partition: Partition, machine_id: str) -> LiveMachine | None:
        """A machine as it stands in a partition."""
        return self._machines.get(partition, {}).get(machine_id)

    def state_of(self, machine_id: str) -> MachineState | None:
        """A machine's state, if this replica holds it."""
        for machines in tuple(self._machines.values()):
            live = machines.get(machine_id)
            if live is not None:
                return live.state
        return None

    def judge(self, messages: Sequence[Message]) -> Cycle:
        """Judge a batch of the stream, leaving the machines as they were.

        Each machine type is judged by one version throughout, the one in the slot when the batch
        first needs it.
        """
        offsets: dict[Partition, int] = {}
        arrived: dict[Partition, dict[str, _Arrived]] = {}
        counts: Counter[str] = Counter()
        for message in messages:
            offsets[message.partition] = message.offset + 1
            try:
                decoded = codec.decode(message.value)
            except InvalidReading:
                # The recorder sends it to the DLQ; twice would be once too often.
                counts["unreadable"] += 1
                continue
            counts["refused"] += len(decoded.refusals)
            machines = arrived.setdefault(message.partition, {})
            for machine_id, group in codec.by_machine(decoded.readings).items():
                new = self._not_covered(message, machine_id, group)
                counts["replayed"] += len(group) - len(new)
                if new:
                    batch = machines.setdefault(machine_id, _Arrived())
                    batch.readings += new
                    batch.next_offset = message.offset + 1
                    counts["judged"] += len(new)
        return self._judged(offsets, arrived, counts)

    def _not_covered(
        self, message: Message, machine_id: str, group: list[Reading]
    ) -> list[Reading]:
        """Readings that the machine's snapshot does not cover.

        Below the snapshot's offset they have been judged, and the verdicts published, before it was
        written. Their time is compared too: offsets begin anew when a topic is set up anew.
        """
        live = self.machine(message.partition, machine_id)
        if live is None or message.offset >= live.next_offset:
            return group
        latest_ms = live.state.latest_ms
        return [reading for reading in group if reading.timestamp_ms > latest_ms]

    def _judged(
        self,
        offsets: Mapping[Partition, int],
        arrived: Mapping[Partition, Mapping[str, _Arrived]],
        counts: Mapping[str, int],
    ) -> Cycle:
        models = _Steady(self._models)
        machines: dict[Partition, dict[str, LiveMachine]] = {}
        verdicts: list[VerdictBatch] = []
        alarm_events: list[AlarmEvent] = []
        for partition, batches in arrived.items():
            after = machines.setdefault(partition, {})
            for machine_id, batch in batches.items():
                live = self.machine(partition, machine_id)
                state = None if live is None else live.state
                for run in _runs(batch.readings):
                    model = models(run[0].machine_type)
                    judgement = judge(model, state, run, self._policy)
                    state = judgement.state
                    verdicts.append(judgement.batch)
                    alarm_events += judgement.alarm_events
                assert state is not None
                after[machine_id] = LiveMachine(state, batch.next_offset)
        return Cycle(offsets, machines, verdicts, alarm_events, **counts)

    def apply(self, cycle: Cycle) -> None:
        """Let the machines stand where a judged batch leaves them."""
        for partition, machines in cycle.machines.items():
            if partition in self._machines:
                self._machines[partition].update(machines)

    def predict(self, readings: Sequence[Reading]) -> list[Judged]:
        """Judge readings outside the stream, each explained in full, in the order given.

        A machine known here goes on from its live window, which stays as it is; another begins
        with an empty one.
        """
        models = _Steady(self._models)
        positions: dict[str, list[int]] = {}
        for position, reading in enumerate(readings):
            positions.setdefault(reading.machine_id, []).append(position)
        judged: dict[int, Judged] = {}
        for machine_id, own in positions.items():
            state = self.state_of(machine_id)
            remaining = iter(own)
            for run in _runs([readings[position] for position in own]):
                model = models(run[0].machine_type)
                judgement = judge(model, state, run, self._policy, EVERYTHING)
                state = judgement.state
                for reading, verdict in zip(run, judgement.batch.verdicts, strict=True):
                    judged[next(remaining)] = Judged(reading, verdict, model)
        return [judged[position] for position in range(len(readings))]


class _Steady:
    """The versions of one batch: each type keeps the first that it got."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._taken: dict[str, Model | None] = {}

    def __call__(self, machine_type: str) -> Model | None:
        if machine_type not in self._taken:
            self._taken[machine_type] = self._models(machine_type)
        return self._taken[machine_type]


def _runs(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """A machine's readings, cut where its machine type changes."""
    for _, run in groupby(readings, key=attrgetter("machine_type")):
        yield list(run)
