"""The recorder's loop: consume, collect, store, go on. It knows the broker, not the database.

All topics come through one consumer: each poll takes from the partitions in turn, so a backlog of
readings delays a verdict by a batch or two and no more, and one transaction serves them all.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

from faultline import topics
from faultline.errors import FaultlineError, StaleOffsets, Unavailable
from faultline.ports.broker import Broker, Consumer, Message, Partition
from faultline.ports.clock import Clock
from faultline.telemetry import logger
from services.ingest.recorder.application import GROUP, Recorder
from services.ingest.recorder.batch import Batch
from services.ingest.recorder.metrics import RecorderMetrics

TOPICS = (
    topics.READINGS,
    topics.VERDICTS,
    topics.ALARMS,
    topics.LABELS,
    topics.MODEL_COMPARISONS,
    topics.DRIFT_EVENTS,
)

_IDLE_S = 0.5
_POLL_MESSAGES = 500
# For those who watch the group's lag; the recorder itself goes by the store's offsets.
_COMMIT_EVERY_S = 1.0
_LAG_EVERY_S = 5.0

log = logger(__name__)


@dataclass(frozen=True)
class BatchLimits:
    """When a batch is stored: enough rows, enough bytes, or old enough."""

    rows: int
    size_bytes: int
    linger_s: float


class RecorderStream:
    """Follows the topics and has them stored; is told of rebalances.

    Parameters
    ----------
    retry_s
        Seconds between two attempts while something is down.
    """

    def __init__(
        self,
        broker: Broker,
        recorder: Recorder,
        clock: Clock,
        metrics: RecorderMetrics,
        limits: BatchLimits,
        *,
        retry_s: float,
    ) -> None:
        self._broker = broker
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._retry_s = retry_s
        self._batch = Batch()
        self._begun_s = 0.0
        # The offset that each of our partitions goes on with; None while we have none assigned.
        self._next: dict[Partition, int] | None = None
        self._astray = False
        self._trouble: str | None = None
        self._stored: dict[Partition, int] = {}
        self._committed_s = self._measured_s = clock.monotonic_s()

    def check(self) -> str | None:
        """None when messages are being stored, or what keeps them from it."""
        if self._trouble is not None:
            return self._trouble
        return "no partitions are assigned yet" if self._next is None else None

    def run(self, stop: threading.Event) -> None:
        """Go on until told to stop.

        While something is down it waits and does not poll, so it neither skips nor grows. What is
        not stored when it stops comes again: the store's offsets say where to go on.

        Raises
        ------
        FaultlineError
            When waiting cannot help.
        """
        consumer = self._broker.consumer(GROUP, TOPICS, self)
        try:
            while not stop.is_set():
                try:
                    self._turn(consumer)
                except StaleOffsets as error:
                    self._begin_anew(str(error))
                except FaultlineError as error:
                    if not error.retriable:
                        raise
                    self._note_trouble(str(error))
                    stop.wait(self._retry_s)
                else:
                    self._note_trouble(None)
        finally:
            consumer.close()

    def assigned(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        """Go to where the store says that these partitions stand."""
        self._drop_batch()
        self._go_to_stored(consumer, partitions)

    def revoked(self, consumer: Consumer, partitions: Collection[Partition]) -> None:  # noqa: ARG002
        """Let go: what is not stored is for the partitions' next owner."""
        self._drop_batch()
        self._next = None
        self._commit(consumer)

    def lost(self, consumer: Consumer, partitions: Collection[Partition]) -> None:  # noqa: ARG002
        """Let go, and say nothing of partitions that are someone else's."""
        self._drop_batch()
        self._next = None
        self._stored = {}

    def _turn(self, consumer: Consumer) -> None:
        """One step. A batch that could not be stored is still due: then there is no poll."""
        if self._astray and self._next is not None:
            self._go_to_stored(consumer, list(self._next))
        if not self._is_due():
            for message in consumer.poll(self._patience_s(), _POLL_MESSAGES):
                self._take(message)
        if self._is_due():
            self._recorder.store(self._batch)
            offsets = self._batch.content.offsets
            self._stored.update({each: span.next for each, span in offsets.items()})
            self._drop_batch()
        self._tell_others(consumer)

    def _take(self, message: Message) -> None:
        expected = (self._next or {}).get(message.partition, 0)
        if message.offset < expected:
            topic, number = message.partition
            raise FaultlineError(
                f"{topic}, partition {number}: offset {message.offset} came where the store "
                f"expects {expected}; the topic has been created anew. To record it from its "
                f"beginning, delete the rows of group {GROUP!r} and topic {topic!r} from the "
                "table stream_offsets"
            )
        if not self._batch:
            self._begun_s = self._clock.monotonic_s()
        self._batch.add(message)
        if self._next is not None:
            self._next[message.partition] = message.offset + 1

    def _is_due(self) -> bool:
        batch, limits = self._batch, self._limits
        return bool(batch) and (
            batch.rows >= limits.rows
            or batch.size_bytes >= limits.size_bytes
            or self._age_s() >= limits.linger_s
        )

    def _patience_s(self) -> float:
        return max(0.0, self._limits.linger_s - self._age_s()) if self._batch else _IDLE_S

    def _age_s(self) -> float:
        return self._clock.monotonic_s() - self._begun_s

    def _drop_batch(self) -> None:
        self._batch = Batch()

    def _begin_anew(self, why: str) -> None:
        log.warning("another recorder has taken over; going on from the store's offsets", why=why)
        self._metrics.restarts.inc()
        self._drop_batch()
        self._astray = True

    def _go_to_stored(self, consumer: Consumer, partitions: Collection[Partition]) -> None:
        offsets = self._recorder.offsets(partitions)
        for partition, offset in offsets.items():
            consumer.seek(partition, offset)
        self._next = dict(offsets)
        self._astray = False

    def _note_trouble(self, why: str | None) -> None:
        if why == self._trouble:
            return
        self._trouble = why
        if why is None:
            log.info("storing again")
        else:
            log.warning("waiting", why=why)

    def _commit(self, consumer: Consumer) -> None:
        stored, self._stored = self._stored, {}
        if not stored:
            return
        try:
            consumer.commit(stored)
        except Unavailable as error:
            log.debug("offsets not committed to Kafka", why=str(error))

    def _tell_others(self, consumer: Consumer) -> None:
        """Let Kafka's tools and Prometheus know how far we are."""
        now_s = self._clock.monotonic_s()
        if now_s - self._committed_s >= _COMMIT_EVERY_S:
            self._committed_s = now_s
            self._commit(consumer)
        if now_s - self._measured_s >= _LAG_EVERY_S:
            self._measured_s = now_s
            lags = dict.fromkeys((topic.name for topic in TOPICS), 0)
            for partition, lag in consumer.lag().items():
                lags[partition.topic] += lag
            for topic, lag in lags.items():
                self._metrics.lag_messages.labels(topic).set(lag)
