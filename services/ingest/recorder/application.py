"""Stores batches: the order of its steps is the guarantee that nothing is lost or stored twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from faultline.ports.broker import Partition
from faultline.ports.clock import Clock
from faultline.ports.retention import Kept
from faultline.ports.stores import RecordBatch, Recorded, RecordStore
from faultline.readings import Reading
from faultline.retention import Retention
from services.ingest.recorder.batch import Batch
from services.ingest.recorder.dead_letters import DeadLetterQueue
from services.ingest.recorder.metrics import RecorderMetrics

GROUP = "recorder"


class Recorder:
    """From messages to rows.

    Parameters
    ----------
    retention
        What is older is stored all the same, and counted: it will not stay.
    """

    def __init__(
        self,
        store: RecordStore,
        letters: DeadLetterQueue,
        metrics: RecorderMetrics,
        clock: Clock,
        retention: Retention,
    ) -> None:
        self._store = store
        self._letters = letters
        self._metrics = metrics
        self._clock = clock
        self._retention = retention

    def offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Where to begin: the store knows, and where it knows nothing, at the beginning.

        Raises
        ------
        Unavailable
            While the database is down.
        """
        stored = self._store.offsets(GROUP, partitions)
        return {partition: stored.get(partition, 0) for partition in partitions}

    def store(self, batch: Batch) -> None:
        """Store a batch. Whatever happens on the way, calling again is right.

        1. What was refused is in the DLQ.
        2. The rows are in the transaction; what conflicts with stored rows is in the DLQ.
        3. The offsets are in the same transaction, and it commits.

        A crash before 3 stores nothing, and the messages come again.

        Raises
        ------
        StaleOffsets
            When another recorder has stored these messages: the batch must be dropped.
        Unavailable
            While the database or the DLQ is down: nothing is stored.
        """

        def to_dead_letters(indexes: Sequence[int]) -> None:
            self._letters.send(batch.conflicts(indexes))

        content = batch.content
        with self._metrics.store_seconds.time():
            self._letters.send(batch.letters)
            recorded = self._store.record(GROUP, content, to_dead_letters)
        self._count(batch, content, recorded)

    def _count(self, batch: Batch, content: RecordBatch, recorded: Recorded) -> None:
        metrics = self._metrics
        metrics.readings.labels("stored").inc(recorded.stored)
        metrics.readings.labels("duplicate").inc(recorded.duplicates)
        metrics.readings.labels("conflict").inc(recorded.conflicts)
        metrics.expired.inc(self._expired(content.readings))
        metrics.batch_readings.observe(len(content.readings))
        metrics.facts.labels("verdict").inc(sum(len(each.verdicts) for each in content.verdicts))
        metrics.facts.labels("alarm").inc(len(content.alarm_events))
        metrics.facts.labels("label").inc(len(content.labels))
        metrics.facts.labels("comparison").inc(len(content.comparisons))
        metrics.facts.labels("drift").inc(len(content.drift_events))
        for field, count in batch.refused.items():
            metrics.refused.labels(field).inc(count)

    def _expired(self, readings: Sequence[Reading]) -> int:
        """How many of them are older than what is kept."""
        cutoff = self._retention.cutoffs(self._clock.now_ms()).get(Kept.READINGS)
        return 0 if cutoff is None else sum(each.timestamp_ms < cutoff for each in readings)
