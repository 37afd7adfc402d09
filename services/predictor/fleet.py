"""The live machines of this replica: judges batches of the stream and single requests.

Knows no broker and no HTTP. What a batch does to the machines is computed first and applied after
it has been published, so that a failure in between leaves nothing half done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from services.predictor.backlog import ToCompare
from services.predictor.challenger import Challenger
from services.predictor.contest import Contest, Contests
from services.predictor.drift_watched import Seen
from services.predictor.older_rows import OlderRows, preceded_by
from services.predictor.snapshots import LiveMachine


@dataclass(frozen=True)
class Cycle:
    """What judging a batch of messages came to. Nothing of it has happened yet.

    Attributes
    ----------
    offsets
        Of the next message, per partition.
    machines
        The states that the batch leaves behind.
    versions
        Those that answered, by machine type.
    to_compare
        What another version is to score in the shadow.
    seen
        What the versions in Production said, to tell drift by.
    judged, refused, replayed, unreadable
        Readings judged, readings that break the wire format, readings that a snapshot covers
        already, messages that cannot be read at all.
    """

    offsets: Mapping[Partition, int]
    machines: Mapping[Partition, Mapping[str, LiveMachine]]
    verdicts: Sequence[VerdictBatch]
    alarm_events: Sequence[AlarmEvent]
    versions: Mapping[str, tuple[str | None, str | None]]
    to_compare: Sequence[ToCompare]
    seen: Sequence[Seen] = ()
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
    contests
        The versions that answer a machine type at this moment.
    challenger
        Scores with the others; None where nothing is compared.
    older_rows
        Fills windows from stored readings; None where none are.
    """

    def __init__(
        self,
        contests: Contests,
        policy: AlarmPolicy,
        *,
        challenger: Challenger | None = None,
        older_rows: OlderRows | None = None,
    ) -> None:
        self._contests = contests
        self._policy = policy
        self._challenger = challenger
        self._older_rows = older_rows
        self._machines: dict[Partition, dict[str, LiveMachine]] = {}
        self._alarming: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(len(machines) for machines in self._machines.values())

    def own(self, partition: Partition, machines: Mapping[str, LiveMachine]) -> None:
        """Take over a partition with the machines restored for it."""
        self._machines[partition] = dict(machines)

    def disown(self, partitions: Collection[Partition] | None = None) -> None:
        """Forget partitions, all of them when None."""
        for partition in list(self._machines) if partitions is None else partitions:
            self._machines.pop(partition, None)
        if self._challenger is not None:
            self._challenger.forget(partitions)

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

    def open_alarms(self) -> Mapping[str, int]:
        """How many machines have an open alarm, by model: 0 where one had one before."""
        self._alarming = Counter(dict.fromkeys(self._alarming, 0))
        for machines in self._machines.values():
            for live in machines.values():
                if live.state.alarms.alarm is not None:
                    self._alarming[live.state.alarms.alarm.model_name] += 1
        return self._alarming

    def judge(self, messages: Sequence[Message]) -> Cycle:
        """Judge a batch of the stream, leaving the machines as they were.

        Each machine is judged by one version throughout, of those in the slots when the batch
        first needs its type.
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
        contests = _Steady(self._contests)
        to_compare: list[ToCompare] = []
        seen: list[Seen] = []
        machines: dict[Partition, dict[str, LiveMachine]] = {}
        verdicts: list[VerdictBatch] = []
        alarm_events: list[AlarmEvent] = []
        for partition, batches in arrived.items():
            after = machines.setdefault(partition, {})
            for machine_id, batch in batches.items():
                live = self.machine(partition, machine_id)
                state = None if live is None else live.state
                for run in _runs(batch.readings):
                    contest = contests(run[0].machine_type)
                    model = contest.answering(machine_id)
                    before = self._prepared(machine_id, state, model)
                    judgement = judge(model, before, run, self._policy)
                    state = judgement.state
                    verdicts.append(judgement.batch)
                    alarm_events += judgement.alarm_events
                    if contest.challenger is not None:
                        given = judgement.batch.verdicts
                        events = judgement.alarm_events
                        to_compare.append(ToCompare(partition, before, run, contest, given, events))
                    if model is not None and model is contest.champion:
                        seen.append(Seen(machine_id, run, judgement.batch.verdicts, model))
                    if self._older_rows is not None and model is not None:
                        self._older_rows.ask(machine_id, state.window, model)
                assert state is not None
                after[machine_id] = LiveMachine(state, batch.next_offset)
        versions = {kind: contest.versions for kind, contest in contests.taken.items()}
        return Cycle(
            offsets, machines, verdicts, alarm_events, versions, to_compare, seen, **counts
        )

    def _prepared(
        self, machine_id: str, state: MachineState | None, model: Model | None
    ) -> MachineState | None:
        """A machine's state, with what has been found for it beside the stream meanwhile."""
        if state is None or model is None:
            return state
        older = None if self._older_rows is None else self._older_rows.take(machine_id)
        if older is not None:
            state = replace(state, window=preceded_by(state.window, older))
        if self._challenger is not None:
            state = self._challenger.carried_over(machine_id, state, model)
        return state

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
        contests = _Steady(self._contests)
        positions: dict[str, list[int]] = {}
        for position, reading in enumerate(readings):
            positions.setdefault(reading.machine_id, []).append(position)
        judged: dict[int, Judged] = {}
        for machine_id, own in positions.items():
            state = self.state_of(machine_id)
            remaining = iter(own)
            for run in _runs([readings[position] for position in own]):
                model = contests(run[0].machine_type).answering(machine_id)
                if self._challenger is not None and state is not None and model is not None:
                    state = self._challenger.carried_over(machine_id, state, model)
                judgement = judge(model, state, run, self._policy, EVERYTHING)
                state = judgement.state
                for reading, verdict in zip(run, judgement.batch.verdicts, strict=True):
                    judged[next(remaining)] = Judged(reading, verdict, model)
        return [judged[position] for position in range(len(readings))]


class _Steady:
    """The versions of one batch: each type keeps the first that it got."""

    def __init__(self, contests: Contests) -> None:
        self._contests = contests
        self.taken: dict[str, Contest] = {}

    def __call__(self, machine_type: str) -> Contest:
        if machine_type not in self.taken:
            self.taken[machine_type] = self._contests(machine_type)
        return self.taken[machine_type]


def _runs(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """A machine's readings, cut where its machine type changes."""
    for _, run in groupby(readings, key=attrgetter("machine_type")):
        yield list(run)
