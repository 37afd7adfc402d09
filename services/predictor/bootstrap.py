"""Wires the predictor: the one place that names adapters."""

from __future__ import annotations

import logging

from faultline.adapters.broker import open_broker, open_feed
from faultline.adapters.bundle_folders import BundleFolders
from faultline.adapters.clock import SystemClock
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.mlflow.predictions import MlflowPredictionRuns, MlflowPredictionTables
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.tracing import open_tracing
from faultline.ports.predictions import PredictionLog
from faultline.ports.registry import ProductionModels
from faultline.service import serve
from faultline.telemetry import configure_logging
from services.predictor.assembly import assemble
from services.predictor.ports import Ports
from services.predictor.settings import PredictionLogging, PredictorSettings


def main() -> int:
    """Run the predictor until it is told to stop; returns the exit status."""
    settings = PredictorSettings()
    configure_logging("predictor", settings.log_level, settings.log_format)
    # MLflow's client tells of each of its retries; the loader says once that it is down.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    tracing = open_tracing(settings, "predictor")
    broker = open_broker(settings, client_id="faultline-predictor")
    database = PostgresDatabase(settings.database_url)
    ports = Ports(
        broker=tracing.broker(broker),
        registry=_models(settings),
        store=database.fleet_store(),
        comparisons=database.comparison_store(),
        drift=database.drift_log(),
        database=database.ping,
        clock=SystemClock(),
        predictions=_prediction_log(settings),
        reload=tracing.reload,
    )
    try:
        predictor = assemble(
            settings, ports, open_feed(settings, client_id="faultline-predictor-live")
        )
        app = tracing.app(predictor.app)
        return serve(app, settings.http_host, settings.predictor_port, predictor.loops)
    finally:
        broker.close()
        database.dispose()
        tracing.close()


def _models(settings: PredictorSettings) -> ProductionModels:
    given = settings.bundles()
    return BundleFolders(given) if given else MlflowRegistry(settings)


def _prediction_log(settings: PredictorSettings) -> PredictionLog | None:
    match settings.predictor_log_predictions:
        case PredictionLogging.OFF:
            return None
        case PredictionLogging.TABLE:
            return MlflowPredictionTables(settings)
        case PredictionLogging.RUN:
            return MlflowPredictionRuns(settings)
