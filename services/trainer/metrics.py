"""What the trainer counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_SECONDS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)


class Metrics:
    """The trainer's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.jobs = Counter(
            "faultline_trainer_jobs",
            "Jobs that this trainer has worked on, by what became of them: succeeded, failed, "
            "cancelled, or left (to another trainer, or because this one stopped).",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("succeeded", "failed", "cancelled", "left"):
            self.jobs.labels(outcome)
        self.running = Gauge(
            "faultline_trainer_running_jobs",
            "Jobs that this trainer is working on.",
            registry=self.registry,
        )
        self.fit_seconds = Histogram(
            "faultline_trainer_fit_seconds",
            "Seconds to fit a detector.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.job_seconds = Histogram(
            "faultline_trainer_job_seconds",
            "Seconds from claiming a job to its end.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.gate = Counter(
            "faultline_trainer_gate_decisions",
            "Decisions of the gate: on every version when it is registered, and later on those "
            "that waited: passed, refused or superseded.",
            ["model", "decision"],
            registry=self.registry,
        )
        self.silhouette = Gauge(
            "faultline_trainer_silhouette",
            "Silhouette of the version registered last; NaN when it is undefined.",
            ["model"],
            registry=self.registry,
        )
        self.triggers = Counter(
            "faultline_trainer_triggers",
            "Occasions to train without being asked, by kind and by what became of them: started, "
            "or why not.",
            ["kind", "outcome"],
            registry=self.registry,
        )
        self.queued = Gauge(
            "faultline_trainer_queued_jobs",
            "Jobs that wait for a trainer, of all trainers together.",
            registry=self.registry,
        )
        self.registry_reachable = Gauge(
            "faultline_trainer_registry_reachable",
            "1 when MLflow answered at the last look, 0 when it did not.",
            registry=self.registry,
        )
        self.in_production = Gauge(
            "faultline_trainer_model_in_production",
            "1 for a registered model with a version in Production, 0 for one without.",
            ["model"],
            registry=self.registry,
        )
        self.production_trained = Gauge(
            "faultline_trainer_production_trained_timestamp_seconds",
            "When the version in Production was registered, in seconds since the epoch.",
            ["model"],
            registry=self.registry,
        )
        self.last_trained = Gauge(
            "faultline_trainer_last_trained_timestamp_seconds",
            "When the newest version was registered, in seconds since the epoch.",
            ["model"],
            registry=self.registry,
        )
