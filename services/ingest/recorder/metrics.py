"""What the recorder counts. No label names a machine: there may be very many."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from faultline.ports.retention import Kept
from faultline.readings import FIELDS
from services.ingest.recorder.facts import NAMES

_BATCH = (1, 10, 100, 1_000, 3_000, 10_000, 30_000, 100_000)
_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class RecorderMetrics:
    """The recorder's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.readings = Counter(
            "faultline_recorder_readings",
            "Readings of stored batches: stored, duplicate (there already), or conflict (there "
            "with other values; in the DLQ).",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("stored", "duplicate", "conflict"):
            self.readings.labels(outcome)
        self.refused = Counter(
            "faultline_recorder_readings_refused",
            "Readings that break the wire format, by the field at fault (message: the whole).",
            ["field"],
            registry=self.registry,
        )
        self.facts = Counter(
            "faultline_recorder_facts",
            "Verdicts, alarm events, labels, comparisons and drift events of stored batches.",
            ["kind"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "faultline_recorder_dead_letters",
            "Messages sent to the DLQ, by reason.",
            ["reason"],
            registry=self.registry,
        )
        for field in FIELDS:
            self.refused.labels(field)
        # From 0 on: what appears with its first value shows Prometheus no increase.
        for what in (*FIELDS, *NAMES.values()):
            self.dead_letters.labels(f"invalid_{what}")
        self.dead_letters.labels("conflict")
        self.batch_readings = Histogram(
            "faultline_recorder_batch_readings",
            "Readings stored in one transaction.",
            buckets=_BATCH,
            registry=self.registry,
        )
        self.store_seconds = Histogram(
            "faultline_recorder_store_seconds",
            "Seconds until a batch was stored, its dead letters included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.lag_messages = Gauge(
            "faultline_recorder_lag_messages",
            "Messages not yet consumed, by topic.",
            ["topic"],
            registry=self.registry,
        )
        self.restarts = Counter(
            "faultline_recorder_stream_restarts",
            "Times the stream went on from the store's offsets, because another recorder had "
            "taken over.",
            registry=self.registry,
        )
        self.expired = Counter(
            "faultline_recorder_readings_expired",
            "Readings that were older than the retention when they were stored: the keeper drops "
            "them with their month.",
            registry=self.registry,
        )
        self.dropped = Counter(
            "faultline_recorder_retention_dropped",
            "Months, and tables' old events, dropped because they had outlived the retention.",
            ["kind"],
            registry=self.registry,
        )
        self.dropped_rows = Counter(
            "faultline_recorder_retention_dropped_rows",
            "Rows of those, of a month about.",
            ["kind"],
            registry=self.registry,
        )
        self.left = Gauge(
            "faultline_recorder_retention_left",
            "Those that could not be dropped at the last look, and are still there.",
            ["kind"],
            registry=self.registry,
        )
        for kind in Kept:
            for metric in (self.dropped, self.dropped_rows, self.left):
                metric.labels(kind.value)
