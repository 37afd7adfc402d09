"""What the predictor counts. No label names a machine: there may be very many."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from faultline.alarms import AlarmEventKind

_BATCH = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
_SECONDS = (0.0005, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_PREDICTION_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)


class Metrics:
    """The predictor's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.readings = Counter(
            "faultline_predictor_readings",
            "Readings of the stream: judged, refused (breaking the wire format), or replayed "
            "(known from a snapshot).",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("judged", "refused", "replayed"):
            self.readings.labels(outcome)
        self.unreadable_messages = Counter(
            "faultline_predictor_unreadable_messages",
            "Messages that could not be read at all; the recorder sends them to the DLQ.",
            registry=self.registry,
        )
        self.verdicts = Counter(
            "faultline_predictor_verdicts",
            "Verdicts published, by status and by the version that gave them.",
            ["status", "model", "version"],
            registry=self.registry,
        )
        self.alarm_events = Counter(
            "faultline_predictor_alarm_events",
            "Alarm events published.",
            ["kind"],
            registry=self.registry,
        )
        for kind in AlarmEventKind:
            self.alarm_events.labels(kind)
        self.open_alarms = Gauge(
            "faultline_predictor_open_alarms",
            "Machines of this replica with an open alarm, by the model that opened it.",
            ["model"],
            registry=self.registry,
        )
        self.batch_readings = Histogram(
            "faultline_predictor_batch_readings",
            "Readings judged at once.",
            buckets=_BATCH,
            registry=self.registry,
        )
        self.scoring_seconds = Histogram(
            "faultline_predictor_scoring_seconds",
            "Seconds to decode and judge a batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.publishing_seconds = Histogram(
            "faultline_predictor_publishing_seconds",
            "Seconds until the broker had the verdicts and alarms of a batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.lag_messages = Gauge(
            "faultline_predictor_lag_messages",
            "Messages of sensor.readings not yet judged.",
            ["partition"],
            registry=self.registry,
        )
        self.machines = Gauge(
            "faultline_predictor_machines",
            "Machines whose windows this replica holds.",
            registry=self.registry,
        )
        self.restarts = Counter(
            "faultline_predictor_stream_restarts",
            "Times the stream began anew from the committed offsets, because the broker could "
            "not be reached or the group had moved on.",
            registry=self.registry,
        )
        self.reloads = Counter(
            "faultline_predictor_model_reloads",
            "Versions taken into the slot.",
            ["model"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "faultline_predictor_model_refusals",
            "Versions refused: broken, altered, or not to be had.",
            ["model"],
            registry=self.registry,
        )
        self.refused = Gauge(
            "faultline_predictor_model_refused",
            "1 while the version behind an alias is refused, and the one before it goes on.",
            ["model", "alias"],
            registry=self.registry,
        )
        self.registry_reachable = Gauge(
            "faultline_predictor_registry_reachable",
            "1 when MLflow answered at the last look for new versions, 0 when it did not.",
            registry=self.registry,
        )
        self.model_info = Gauge(
            "faultline_predictor_model_info",
            "1 for the version that judges now.",
            ["model", "version", "source"],
            registry=self.registry,
        )
        self.challenger_info = Gauge(
            "faultline_predictor_challenger_info",
            "1 for the version that is compared with the one that judges.",
            ["model", "version", "source"],
            registry=self.registry,
        )
        self.challenger_readings = Counter(
            "faultline_predictor_challenger_readings",
            "Readings for a second version to score: compared, unscored (one of the two had no "
            "score), failed (it could not), or dropped because too many waited or the partition "
            "went elsewhere.",
            ["outcome"],
            registry=self.registry,
        )
        self.waiting_for_challenger = Gauge(
            "faultline_predictor_waiting_for_challenger",
            "Readings that wait to be scored by a second version.",
            registry=self.registry,
        )
        self.warm_ups = Counter(
            "faultline_predictor_warm_ups",
            "Machines whose window was to be filled from stored readings: filled, or not, because "
            "there were none, the store could not be reached, or too many waited.",
            ["outcome"],
            registry=self.registry,
        )
        self.prediction_seconds = Histogram(
            "faultline_predictor_prediction_seconds",
            "Seconds from having read a request to predict to having its answer, by HTTP status.",
            ["code"],
            buckets=_PREDICTION_SECONDS,
            registry=self.registry,
        )
        self.logged_predictions = Counter(
            "faultline_predictor_logged_predictions",
            "Predictions made over HTTP, where they are logged: logged, refused by the log, or "
            "dropped because too many waited.",
            ["outcome"],
            registry=self.registry,
        )
        self.waiting_predictions = Gauge(
            "faultline_predictor_waiting_predictions",
            "Predictions made over HTTP that wait to be logged.",
            registry=self.registry,
        )
        self.drift = Gauge(
            "faultline_predictor_drift",
            "How far the readings are from those trained on: the largest statistic over its "
            "threshold, from 1 on it is drift; 0 where chance explains it.",
            ["model", "kind"],
            registry=self.registry,
        )
        self.drift_events = Counter(
            "faultline_predictor_drift_events",
            "Events published on drift.events.",
            ["model"],
            registry=self.registry,
        )
        self.drift_failures = Counter(
            "faultline_predictor_drift_failures",
            "What could not be told for drift and was passed over: readings to sample, samples to "
            "count, or machine types to look at.",
            ["step"],
            registry=self.registry,
        )
        self.drift_dropped_readings = Counter(
            "faultline_predictor_drift_dropped_readings",
            "Readings that were not looked at for drift because too many waited.",
            registry=self.registry,
        )
        self.live_clients = Gauge(
            "faultline_predictor_live_clients",
            "Clients that follow the stream of events over HTTP.",
            registry=self.registry,
        )
        self.live_events = Counter(
            "faultline_predictor_live_events",
            "Events for clients that follow them over HTTP, by kind: sent, or dropped because the "
            "client reads too slowly.",
            ["kind", "outcome"],
            registry=self.registry,
        )
