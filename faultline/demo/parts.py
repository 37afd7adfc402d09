"""The stack, as the demonstration reaches it: two ways in, and whoever can be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faultline.client import PredictorClient, TrainerClient
from faultline.demo.heard import HeardVerdicts
from faultline.ports.broker import Producer
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore
from faultline.sources.sink import Sink


@dataclass(frozen=True)
class Parts:
    """The stack, as the demonstration reaches it.

    Attributes
    ----------
    heard
        Listens to all verdicts.
    open_registry
        Gives the same one whenever it is called. The first call may take seconds: MLflow's client
        is imported then.
    """

    http: Sink
    topic: Sink
    producer: Producer
    store: FleetStore
    open_registry: Callable[[], ModelRegistry]
    trainer: TrainerClient
    predictor: PredictorClient
    heard: HeardVerdicts
