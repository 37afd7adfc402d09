"""The stream loop: readings in, verdicts and alarms out, and the order that makes it safe.

    judge -> publish verdicts and alarms -> flush -> apply -> offer to the challenger and for drift
    checkpoint: publish snapshots -> flush -> commit

Verdicts are with the broker before a snapshot says that they were made, and a snapshot is there
before the offset it stands at is committed. A crash at any point repeats at most what came after
the last checkpoint, with the same ids; what a snapshot covers is not judged again. When the broker
fails in between, everything in memory is dropped and the loop begins anew from what is committed:
there is one way to recover, and it is the way after a crash.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, nullcontext

from msgspec import structs

from faultline import alarms, topics, verdicts
from faultline.alarms import AlarmEventKind
from faultline.errors import FaultlineError, Overloaded, Unavailable
from faultline.ports.broker import Broker, Consumer, Message, Partition, Producer
from faultline.ports.clock import Clock
from faultline.telemetry import logger
from faultline.verdicts import VerdictBatch
from services.predictor.challenger import Challenger
from services.predictor.drift import DriftWatch
from services.predictor.fleet import Cycle, Fleet
from services.predictor.metrics import Metrics
from services.predictor.snapshots import encode_snapshot, restore

log = logger(__name__)

GROUP = "predictor"
MAX_VERDICTS = 500
MAX_VERDICT_BYTES = 500_000
_POLL_S = 0.2
_FLUSH_S = 30.0
_LAG_EVERY_S = 5.0
_NOT_JOINED = "not yet a member of the consumer group"


class Stream:
    """Works through `sensor.readings` as a member of the group `predictor`.

    Parameters
    ----------
    checkpoint_s
        Between two checkpoints, at least; alarms and a new version bring one at once.
    retry_s
        To wait before beginning anew.
    challenger
        Gets what was judged after it is published, and stands aside meanwhile.
    drift
        Gets what was judged after it is published; None where drift is not watched for.
    """

    def __init__(
        self,
        broker: Broker,
        fleet: Fleet,
        *,
        metrics: Metrics,
        clock: Clock,
        batch_messages: int,
        checkpoint_s: float,
        retry_s: float,
        challenger: Challenger | None = None,
        drift: DriftWatch | None = None,
    ) -> None:
        self._broker = broker
        self._challenger = challenger
        self._drift = drift
        self._fleet = fleet
        self._metrics = metrics
        self._clock = clock
        self._batch_messages = batch_messages
        self._checkpoint_s = checkpoint_s
        self._retry_s = retry_s
        self._producer: Producer | None = None
        self._trouble: str | None = _NOT_JOINED
        self._begin()

    def _begin(self) -> None:
        """Know nothing: what is remembered since the last checkpoint belongs to one membership."""
        self._fleet.disown()
        self._offsets: dict[Partition, int] = {}
        self._touched: set[tuple[Partition, str]] = set()
        self._versions: dict[str, tuple[str | None, str | None]] = {}
        self._urgent = False
        self._checkpoint_at_s = self._clock.monotonic_s()
        self._lag_at_s = self._checkpoint_at_s

    def trouble(self) -> str | None:
        """What keeps the stream from going on; None when nothing does."""
        return self._trouble

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; ends at a checkpoint.

        Raises
        ------
        FaultlineError
            When waiting cannot help.
        """
        while not stop.is_set():
            try:
                self._membership(stop)
            except FaultlineError as error:
                if not error.retriable:
                    raise
                log.warning("stream begins anew", why=str(error))
                self._trouble = str(error)
                self._metrics.restarts.inc()
                stop.wait(self._retry_s)

    def _membership(self, stop: threading.Event) -> None:
        self._begin()
        with closing(self._broker.producer()) as producer:
            self._producer = producer
            with closing(self._broker.consumer(GROUP, [topics.READINGS], self)) as consumer:
                try:
                    self._work(consumer, stop)
                except FaultlineError:
                    # Before the consumer leaves the group: it hands over what it has not lost.
                    self._begin()
                    raise

    def _work(self, consumer: Consumer, stop: threading.Event) -> None:
        while not stop.is_set():
            messages = consumer.poll(_POLL_S, self._batch_messages)
            if messages:
                self._cycle(messages)
            if self._checkpoint_due():
                self._checkpoint(consumer, self._fleet.owned())
            self._show_lag(consumer)
        self._checkpoint(consumer, self._fleet.owned())

    # The order of a cycle ----------------------------------------------------------------------

    def _cycle(self, messages: Sequence[Message]) -> None:
        with self._challenger.aside() if self._challenger is not None else nullcontext():
            with self._metrics.scoring_seconds.time():
                cycle = self._fleet.judge(messages)
            with self._metrics.publishing_seconds.time():
                self._publish(cycle)
                self._flush()
        self._fleet.apply(cycle)
        self._remember(cycle)
        if self._challenger is not None:
            self._challenger.offer(cycle.to_compare)
        if self._drift is not None:
            self._drift.offer(cycle.seen)
        self._count(cycle)

    def _publish(self, cycle: Cycle) -> None:
        for batch in cycle.verdicts:
            for value in chunks(batch):
                self._send(topics.VERDICTS.name, batch.machine_id, value)
        for event in cycle.alarm_events:
            self._send(topics.ALARMS.name, event.alarm.machine_id, alarms.encode(event))

    def _remember(self, cycle: Cycle) -> None:
        """Note what the next checkpoint has to keep, and whether it should be at once."""
        self._offsets.update(cycle.offsets)
        for partition, machines in cycle.machines.items():
            self._touched.update((partition, machine_id) for machine_id in machines)
        # Judged again by another version, the readings since the last checkpoint could get other
        # alarms than those published: so none are left behind an alarm or a new version.
        if cycle.alarm_events or any(
            self._versions.get(kind, version) != version for kind, version in cycle.versions.items()
        ):
            self._urgent = True
        self._versions.update(cycle.versions)

    def _checkpoint_due(self) -> bool:
        since_s = self._clock.monotonic_s() - self._checkpoint_at_s
        return bool(self._offsets) and (self._urgent or since_s >= self._checkpoint_s)

    def _checkpoint(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        """Keep the states of some partitions, then the offsets that they stand at."""
        touched = {key for key in self._touched if key[0] in partitions}
        for partition, machine_id in touched:
            live = self._fleet.machine(partition, machine_id)
            if live is not None:
                value = encode_snapshot(partition.number, live)
                # Not by its key: whoever sent the readings may have placed them in another way.
                self._send(topics.PREDICTOR_STATE.name, machine_id, value, partition.number)
        if touched:
            self._flush()
        offsets = {key: offset for key, offset in self._offsets.items() if key in partitions}
        if offsets:
            consumer.commit(offsets)
        self._touched -= touched
        self._offsets = {key: value for key, value in self._offsets.items() if key not in offsets}
        self._urgent = False
        self._checkpoint_at_s = self._clock.monotonic_s()

    # Partitions come and go --------------------------------------------------------------------

    def assigned(self, consumer: Consumer, partitions: Collection[Partition]) -> None:  # noqa: ARG002
        """Restore the machines of new partitions before their first message is judged."""
        for partition in partitions:
            snapshots = self._broker.read(Partition(topics.PREDICTOR_STATE.name, partition.number))
            self._fleet.own(partition, restore(partition.number, snapshots))
        self._metrics.machines.set(len(self._fleet))
        self._trouble = None
        log.info("partitions assigned", partitions=len(partitions), machines=len(self._fleet))

    def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        """Hand partitions over at a checkpoint, or, when that fails, at the one before."""
        try:
            self._checkpoint(consumer, partitions)
        except Unavailable as error:
            log.warning("partitions left without a checkpoint", why=str(error))
        self._forget(partitions)

    def lost(self, consumer: Consumer, partitions: Collection[Partition]) -> None:  # noqa: ARG002
        """Let go without a word: a snapshot from here could replace a newer one."""
        log.warning("partitions lost", partitions=len(partitions))
        self._forget(partitions)

    def _forget(self, partitions: Collection[Partition]) -> None:
        self._fleet.disown(partitions)
        self._touched = {key for key in self._touched if key[0] not in partitions}
        self._offsets = {
            key: value for key, value in self._offsets.items() if key not in partitions
        }
        self._metrics.machines.set(len(self._fleet))

    # Sending and counting ----------------------------------------------------------------------

    def _send(
        self, topic: str, machine_id: str, value: bytes, partition: int | None = None
    ) -> None:
        assert self._producer is not None
        key = machine_id.encode()
        try:
            self._producer.send(topic, key, value, partition=partition)
        except Overloaded:
            self._flush()
            self._producer.send(topic, key, value, partition=partition)

    def _flush(self) -> None:
        assert self._producer is not None
        self._producer.flush(_FLUSH_S)

    def _count(self, cycle: Cycle) -> None:
        metrics = self._metrics
        metrics.readings.labels("judged").inc(cycle.judged)
        metrics.readings.labels("refused").inc(cycle.refused)
        metrics.readings.labels("replayed").inc(cycle.replayed)
        metrics.unreadable_messages.inc(cycle.unreadable)
        metrics.batch_readings.observe(cycle.judged)
        metrics.machines.set(len(self._fleet))
        given = Counter(
            (verdict.status, batch.model_name or "", batch.model_version or "")
            for batch in cycle.verdicts
            for verdict in batch.verdicts
        )
        for labels, count in given.items():
            metrics.verdicts.labels(*labels).inc(count)
        for event in cycle.alarm_events:
            metrics.alarm_events.labels(event.kind).inc()
            if event.kind is AlarmEventKind.OPENED:
                log.info(
                    "alarm opened",
                    machine=event.alarm.machine_id,
                    score=round(event.alarm.peak_score, 3),
                    why=event.alarm.why,
                )

    def _show_lag(self, consumer: Consumer) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._lag_at_s < _LAG_EVERY_S:
            return
        self._lag_at_s = now_s
        for model, machines in self._fleet.open_alarms().items():
            self._metrics.open_alarms.labels(model).set(machines)
        self._metrics.lag_messages.clear()
        for partition, messages in consumer.lag().items():
            self._metrics.lag_messages.labels(str(partition.number)).set(messages)


def chunks(batch: VerdictBatch) -> Iterator[bytes]:
    """A batch as messages of at most `MAX_VERDICTS` and about `MAX_VERDICT_BYTES` each."""
    count = len(batch.verdicts)
    if count <= MAX_VERDICTS:
        value = verdicts.encode(batch)
        if len(value) <= MAX_VERDICT_BYTES or count == 1:
            yield value
            return
        size = -(-count // 2)
    else:
        size = MAX_VERDICTS
    for start in range(0, count, size):
        yield from chunks(structs.replace(batch, verdicts=batch.verdicts[start : start + size]))
