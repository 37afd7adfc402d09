"""What the predictor needs of the world; `bootstrap` says what is behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faultline.ports.broker import Broker
from faultline.ports.clock import Clock
from faultline.ports.comparisons import ComparisonStore
from faultline.ports.drift import DriftLog
from faultline.ports.predictions import PredictionLog
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore


@dataclass(frozen=True)
class Ports:
    """The ports.

    Attributes
    ----------
    database
        What is wrong with the database; None when it is well.
    comparisons
        How challengers did, over all replicas.
    drift
        What drifted, and what each replica counted to tell it by.
    predictions
        Where predictions made over HTTP are logged; None when they are not.
    """

    broker: Broker
    registry: ModelRegistry
    store: FleetStore
    comparisons: ComparisonStore
    drift: DriftLog
    database: Callable[[], str | None]
    clock: Clock
    predictions: PredictionLog | None = None
