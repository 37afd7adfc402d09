"""What is to be seen of the registry and the queue from outside, for Prometheus.

Only looks: what is wrong with a model is for the reconciler to mend.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from faultline.errors import NotFound, Unavailable
from faultline.ports.jobs import JobQueue, JobState
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.service import repeating
from services.trainer.metrics import Metrics
from services.trainer.succession import live_version

_MOST_COUNTED = 1_000


class Observation:
    """Looks at every model and at the queue again and again.

    Parameters
    ----------
    every_s
        Between two looks.
    """

    def __init__(
        self, registry: ModelRegistry, queue: JobQueue, metrics: Metrics, every_s: float
    ) -> None:
        self._registry = registry
        self._queue = queue
        self._metrics = metrics
        self._every_s = every_s

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop. A dependency that is down is waited for."""
        repeating(self.look, stop, self._every_s, "the registry and the queue cannot be observed")

    def look(self) -> None:
        """Look once.

        Raises
        ------
        Unavailable
            When a dependency does not answer. What was seen of it before stays.
        """
        try:
            models = self._models()
        except Unavailable:
            self._metrics.registry_reachable.set(0)
            raise
        self._metrics.registry_reachable.set(1)
        self._show(models)
        self._metrics.queued.set(len(self._queue.list(JobState.QUEUED, _MOST_COUNTED)))

    def _models(self) -> Mapping[str, Sequence[ModelVersion]]:
        return {name: self._versions(name) for name in self._registry.models()}

    def _versions(self, name: str) -> Sequence[ModelVersion]:
        try:
            return self._registry.versions(name)
        except NotFound:
            return ()

    def _show(self, models: Mapping[str, Sequence[ModelVersion]]) -> None:
        metrics = self._metrics
        for gauge in (metrics.in_production, metrics.production_trained, metrics.last_trained):
            # Those of a model that was deleted would stay.
            gauge.clear()
        for name, versions in models.items():
            live = live_version(versions)
            metrics.in_production.labels(name).set(live is not None)
            if live is not None:
                metrics.production_trained.labels(name).set(live.created_at_ms / 1_000)
            if versions:
                newest_ms = max(one.created_at_ms for one in versions)
                metrics.last_trained.labels(name).set(newest_ms / 1_000)
