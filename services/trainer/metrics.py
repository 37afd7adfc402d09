"""What the trainer counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)


class Metrics:
    """The trainer's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.jobs = Counter(
            "faultline_trainer_jobs",
            "Jobs that this trainer has worked on, by what became of them: succeeded, failed, "
            "or left (to another trainer, or because this one stopped).",
            ["outcome"],
            registry=self.registry,
        )
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
            "Versions that the gate has judged.",
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
