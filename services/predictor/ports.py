"""What the predictor needs of the world; `bootstrap` says what is behind it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from faultline.ports.broker import Broker
from faultline.ports.clock import Clock
from faultline.ports.comparisons import ComparisonStore
from faultline.ports.drift import DriftLog
from faultline.ports.predictions import PredictionLog
from faultline.ports.registry import ProductionModels
from faultline.ports.stores import FleetStore

Reload = Callable[[str, str], AbstractContextManager[None]]
"""Called with the name of a model and its version."""


def untraced(_: str, __: str) -> AbstractContextManager[None]:
    """Make no span of a reload."""
    return nullcontext()


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
    reload
        Entered while a version of a model is loaded: a span of its trace.
    """

    broker: Broker
    registry: ProductionModels
    store: FleetStore
    comparisons: ComparisonStore
    drift: DriftLog
    database: Callable[[], str | None]
    clock: Clock
    predictions: PredictionLog | None = None
    reload: Reload = untraced
