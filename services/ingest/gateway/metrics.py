"""What the gateway counts. No label names a machine: there may be very many."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from faultline.readings import FIELDS

_BATCH = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)
_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class GatewayMetrics:
    """The gateway's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.accepted = Counter(
            "faultline_gateway_readings_accepted",
            "Readings that the broker acknowledged.",
            registry=self.registry,
        )
        self.refused = Counter(
            "faultline_gateway_readings_refused",
            "Readings that break the wire format, by the field at fault (message: the whole).",
            ["field"],
            registry=self.registry,
        )
        for field in FIELDS:
            self.refused.labels(field)
        self.failed = Counter(
            "faultline_gateway_readings_unavailable",
            "Readings that the broker did not take or acknowledge in time (429, 503): the sender "
            "has to send them again.",
            registry=self.registry,
        )
        self.limited = Counter(
            "faultline_gateway_requests_limited",
            "Requests answered with 429, as their client was over its rate.",
            registry=self.registry,
        )
        self.held_bytes = Gauge(
            "faultline_gateway_held_bytes",
            "Bodies of all requests under way, as sent, as unpacked and as decoded.",
            registry=self.registry,
        )
        self.batch_readings = Histogram(
            "faultline_gateway_batch_readings",
            "Readings in one request.",
            buckets=_BATCH,
            registry=self.registry,
        )
        self.acknowledge_seconds = Histogram(
            "faultline_gateway_acknowledge_seconds",
            "Seconds until the broker had acknowledged all of a request.",
            buckets=_SECONDS,
            registry=self.registry,
        )
