"""Puts the predictor together from ports. It must not know what is behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import ASGIApp

from faultline import __version__
from faultline.ports.feed import Feed
from faultline.service import Loop
from faultline.web import equip
from services.predictor.api import routes
from services.predictor.comparison import comparison_routes
from services.predictor.drift import DriftWatch
from services.predictor.drift_api import drift_routes
from services.predictor.fleet import Fleet
from services.predictor.invocations import invocation_routes
from services.predictor.live import LiveEvents
from services.predictor.live_api import ending_at_a_signal, live_routes
from services.predictor.loader import ModelLoader
from services.predictor.metrics import Metrics
from services.predictor.news import Announcer, ModelNews
from services.predictor.older_rows import OlderRows
from services.predictor.ports import Ports
from services.predictor.predicting import Predictions, Shortcut
from services.predictor.prediction_record import Predict, PredictionRecord
from services.predictor.settings import PredictorSettings
from services.predictor.shadow import Shadow, assemble_shadow
from services.predictor.shelf import BundleShelf
from services.predictor.slot import ModelSlot
from services.predictor.stream import Stream

_FIRST_LOOK_S = 30.0
"""The stream waits so long for the first look at the registry, so that a restart does not answer
`no_model` for the moment that a download takes."""

_STEP_S = 0.2

_ABOUT = """Judges readings as they stream, and answers what it knows of the fleet.

Verdicts and alarms are on the topics `sensor.verdicts` and `sensor.alarms`; here they are read from
the store, and followed as they come."""


@dataclass(frozen=True)
class Predictor:
    """The application and the loops beside it, with the parts that tests look at."""

    app: ASGIApp
    loops: Sequence[Loop]
    fleet: Fleet
    slot: ModelSlot
    loader: ModelLoader
    stream: Stream
    shadow: Shadow
    drift: DriftWatch
    metrics: Metrics


def assemble(settings: PredictorSettings, ports: Ports, feed: Feed | None = None) -> Predictor:
    """Put the predictor together, with its last good models loaded from disk.

    Parameters
    ----------
    feed
        Where the live stream's events come from; without one there is no such stream.
    """
    metrics = Metrics()
    slot = ModelSlot()
    shadow = assemble_shadow(settings, ports, metrics, slot)
    older_rows = OlderRows(
        ports.store,
        metrics=metrics,
        clock=ports.clock,
        retry_s=settings.predictor_retry_s,
    )
    fleet = Fleet(
        shadow.contests,
        settings.alarm_policy(),
        challenger=shadow.challenger,
        older_rows=older_rows,
    )
    loader = ModelLoader(
        ports.registry,
        BundleShelf(settings.shelf_folder),
        slot,
        announce=Announcer(ports.broker),
        metrics=metrics,
        clock=ports.clock,
        poll_s=settings.predictor_model_poll_s,
        retry_s=settings.predictor_model_retry_s,
        reload=ports.reload,
    )
    # Those that are given are on disk already, and there may have been others before.
    if not settings.predictor_bundles:
        loader.start_from_disk()
    drift = DriftWatch(
        ports.broker,
        settings.drift_policy(),
        store=ports.drift,
        models=lambda: {kind: loaded.model for kind, loaded in slot.loaded().items()},
        metrics=metrics,
        clock=ports.clock,
    )
    stream = Stream(
        ports.broker,
        fleet,
        metrics=metrics,
        clock=ports.clock,
        batch_messages=settings.predictor_batch_messages,
        checkpoint_s=settings.predictor_checkpoint_s,
        retry_s=settings.predictor_retry_s,
        challenger=shadow.challenger,
        drift=drift,
    )
    news = ModelNews(ports.broker, (slot.wanted, shadow.slot.wanted), settings.predictor_retry_s)
    predict: Predict = fleet.predict
    loops = [
        Loop("models", loader.run),
        Loop("model-events", news.run),
        Loop("stream", after(loader.settled, stream.run)),
        Loop("challengers", shadow.loader.run),
        Loop("challenger", shadow.challenger.run),
        Loop("drift", drift.run),
        Loop("older-rows", older_rows.run),
        Loop("older-rows-again", older_rows.run_again),
        Loop("challengers-older-rows", shadow.older_rows.run),
        Loop("challengers-older-rows-again", shadow.older_rows.run_again),
    ]
    if ports.predictions is not None:
        record = PredictionRecord(
            ports.predictions,
            metrics=metrics,
            clock=ports.clock,
            queue=settings.predictor_log_predictions_queue,
            every_s=settings.predictor_log_predictions_every_s,
            retry_s=settings.predictor_retry_s,
        )
        predict = record.recorded(fleet.predict)
        loops.append(Loop("prediction-log", record.run))
    most_bytes = settings.predictor_request_bytes
    live = None
    if feed is not None:
        live = LiveEvents(feed, metrics=metrics, retry_s=settings.predictor_retry_s)
        loops.append(Loop("live", live.run))
    app = FastAPI(
        title="Faultline predictor",
        version=__version__,
        description=_ABOUT,
        lifespan=None if live is None else ending_at_a_signal(live),
    )
    # Without a model it is ready: it says `no_model`, and that is what is to be said.
    equip(app, {"stream": stream.trouble, "database": ports.database}, metrics.registry)
    if live is not None:
        app.include_router(live_routes(live))
    app.include_router(
        comparison_routes(
            slot, shadow.slot, shadow.contests, shadow.loader.refusals, ports.comparisons
        )
    )
    app.include_router(drift_routes(slot, drift.looks, ports.drift))
    predictions = Predictions(predict, slot.absence, most_bytes, metrics)
    app.include_router(routes(predictions, slot, loader.refusals, ports.store))
    app.include_router(invocation_routes(predict, fleet, slot, most_bytes))
    return Predictor(
        app=Shortcut(app, predictions),
        loops=loops,
        fleet=fleet,
        slot=slot,
        loader=loader,
        stream=stream,
        shadow=shadow,
        drift=drift,
        metrics=metrics,
    )


def after(
    settled: threading.Event, run: Callable[[threading.Event], None]
) -> Callable[[threading.Event], None]:
    """Let a loop begin when the first look at the registry is over, or has taken too long."""

    def waiting(stop: threading.Event) -> None:
        for _ in range(int(_FIRST_LOOK_S / _STEP_S)):
            if settled.wait(_STEP_S) or stop.is_set():
                break
        run(stop)

    return waiting
