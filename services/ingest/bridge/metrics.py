"""What the bridge counts. No label names a machine or a topic: there may be very many."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from faultline.readings import FIELDS

_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SKIPPED = ("retained", "unsubscribed")


class BridgeMetrics:
    """The bridge's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.messages = Counter(
            "faultline_bridge_messages",
            "MQTT messages dealt with, by what they were; at QoS 1 they are acknowledged then.",
            ["kind"],
            registry=self.registry,
        )
        for kind in ("reading", "value", "refused", "skipped"):
            self.messages.labels(kind)
        self.readings = Counter(
            "faultline_bridge_readings",
            "Readings that Kafka acknowledged: sent as such, or rows made of single values.",
            ["kind"],
            registry=self.registry,
        )
        for kind in ("sent", "row"):
            self.readings.labels(kind)
        self.refused = Counter(
            "faultline_bridge_refused",
            "Readings and values that break the wire format, by the field at fault (message: the "
            "whole). They are in the dead-letter topic.",
            ["field"],
            registry=self.registry,
        )
        for field in FIELDS:
            self.refused.labels(field)
        self.skipped = Counter(
            "faultline_bridge_skipped",
            "Messages not used: a retained value that does not say of when it is, or a topic that "
            "no subscription of the settings is of.",
            ["why"],
            registry=self.registry,
        )
        for why in SKIPPED:
            self.skipped.labels(why)
        self.late = Counter(
            "faultline_bridge_values_late",
            "Values whose row was made already; later rows carry them.",
            registry=self.registry,
        )
        self.ahead = Counter(
            "faultline_bridge_values_ahead",
            "Values stamped further ahead than a period; the time at which they came is used.",
            registry=self.registry,
        )
        self.machines = Gauge(
            "faultline_bridge_machines",
            "Machines whose single values are brought into rows.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "faultline_bridge_in_flight",
            "Messages that came and are not dealt with yet.",
            registry=self.registry,
        )
        self.deliver_seconds = Histogram(
            "faultline_bridge_deliver_seconds",
            "Seconds until Kafka had acknowledged all of a batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
