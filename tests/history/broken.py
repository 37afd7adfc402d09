"""Recorders that are wrong on purpose: what a checker of histories has to catch.

    python -m tests.history.broken sound|offsets-first|offsets-apart

Beside `offsets-apart` the key of the table `readings` must be gone: with it, the rows of a batch
that comes again are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from faultline.adapters.broker import open_broker
from faultline.adapters.clock import SystemClock
from faultline.adapters.postgres import PostgresDatabase
from faultline.ports.broker import Partition
from faultline.ports.stores import RecordBatch, Recorded, RecordStore
from faultline.service import Loop, serve
from services.ingest.recorder.api import recorder_app
from services.ingest.recorder.application import Recorder
from services.ingest.recorder.dead_letters import DeadLetterQueue
from services.ingest.recorder.metrics import RecorderMetrics
from services.ingest.recorder.stream import BatchLimits, RecorderStream
from services.ingest.settings import RecorderSettings

OnConflicts = Callable[[Sequence[int]], None]


class InTwoTransactions:
    """A store that keeps rows and offsets apart.

    Parameters
    ----------
    offsets_first
        At most once: what follows is lost in a crash. Otherwise at least once: it comes twice.
    """

    def __init__(self, store: RecordStore, *, offsets_first: bool) -> None:
        self._store = store
        self._offsets_first = offsets_first

    def offsets(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return self._store.offsets(group, partitions)

    def record(self, group: str, batch: RecordBatch, on_conflicts: OnConflicts) -> Recorded:
        offsets = RecordBatch(batch.offsets)
        rows = replace(batch, offsets={})
        if self._offsets_first:
            self._store.record(group, offsets, on_conflicts)
            return self._store.record(group, rows, on_conflicts)
        recorded = self._store.record(group, rows, on_conflicts)
        self._store.record(group, offsets, on_conflicts)
        return recorded


STORES: Mapping[str, Callable[[RecordStore], RecordStore]] = {
    "sound": lambda store: store,
    "offsets-first": lambda store: InTwoTransactions(store, offsets_first=True),
    "offsets-apart": lambda store: InTwoTransactions(store, offsets_first=False),
}


def main(arguments: Sequence[str]) -> int:
    """Run the recorder with one of the stores."""
    [variant] = arguments
    settings = RecorderSettings()
    metrics, clock = RecorderMetrics(), SystemClock()
    broker = open_broker(settings, client_id=f"faultline-recorder-{variant}")
    database = PostgresDatabase(settings.database_url)
    store = STORES[variant](database.record_store())
    letters = DeadLetterQueue(broker.producer(), clock, metrics)
    recorder = Recorder(store, letters, metrics, clock, settings.retention())
    limits = BatchLimits(
        settings.recorder_batch_rows, settings.recorder_batch_bytes, settings.recorder_linger_s
    )
    stream = RecorderStream(
        broker, recorder, clock, metrics, limits, retry_s=settings.recorder_retry_s
    )
    app = recorder_app({"stream": stream.check}, metrics)
    return serve(app, settings.http_host, settings.recorder_port, [Loop("recorder", stream.run)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
