"""Puts together what follows, scores and compares challengers."""

from __future__ import annotations

from typing import NamedTuple

from services.predictor.challenger import Challenger
from services.predictor.comparison_metrics import ComparisonCollector
from services.predictor.contest import Contests, contests
from services.predictor.loader import ModelLoader, Role
from services.predictor.metrics import Metrics
from services.predictor.news import Announcer
from services.predictor.older_rows import OlderRows
from services.predictor.ports import Ports
from services.predictor.settings import PredictorSettings
from services.predictor.shelf import BundleShelf
from services.predictor.slot import ModelSlot

_POLLS = 5
"""A challenger is looked for so much less often than the champion: `model.events` tells of it."""


class Shadow(NamedTuple):
    """The challengers, what scores with them, and who answers whom."""

    slot: ModelSlot
    loader: ModelLoader
    contests: Contests
    challenger: Challenger
    older_rows: OlderRows


def assemble_shadow(
    settings: PredictorSettings, ports: Ports, metrics: Metrics, champions: ModelSlot
) -> Shadow:
    """Put it together; nothing is loaded yet."""
    slot = ModelSlot()
    loader = ModelLoader(
        ports.registry,
        BundleShelf(settings.state_dir / "challengers"),
        slot,
        announce=Announcer(ports.broker),
        metrics=metrics,
        clock=ports.clock,
        poll_s=_POLLS * settings.predictor_model_poll_s,
        retry_s=settings.predictor_model_retry_s,
        role=Role.CHALLENGER,
        reload=ports.reload,
    )
    older_rows = OlderRows(
        ports.store, metrics=metrics, clock=ports.clock, retry_s=settings.predictor_retry_s
    )
    challenger = Challenger(
        ports.broker,
        settings.alarm_policy(),
        metrics=metrics,
        clock=ports.clock,
        queue_readings=settings.predictor_challenger_queue_readings,
        tell_s=settings.predictor_comparison_s,
        older_rows=older_rows,
    )
    metrics.registry.register(ComparisonCollector(challenger.counts))
    answering = contests(champions, slot, settings.predictor_ab_share)
    return Shadow(slot, loader, answering, challenger, older_rows)
