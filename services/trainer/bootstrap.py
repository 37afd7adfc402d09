"""Wires the trainer: the one place that names adapters."""

from __future__ import annotations

from faultline.adapters.broker import open_broker
from faultline.adapters.clock import SystemClock
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.adapters.tracing import open_tracing
from faultline.service import serve
from faultline.telemetry import configure_logging
from services.trainer.assembly import Ports, assemble
from services.trainer.settings import TrainerSettings


def main() -> int:
    """Run the trainer until it is told to stop; returns the exit status."""
    settings = TrainerSettings()
    configure_logging("trainer", settings.log_level, settings.log_format)
    tracing = open_tracing(settings, "trainer")
    broker = open_broker(settings, client_id="faultline-trainer")
    database = PostgresDatabase(settings.database_url)
    registry = MlflowRegistry(settings)
    ports = Ports(
        broker=tracing.broker(broker),
        registry=registry,
        store=database.fleet_store(),
        queue=tracing.queue(database.job_queue()),
        promotion_log=database.promotion_log(),
        gate_log=database.gate_log(),
        comparisons=database.comparison_store(),
        trigger_log=database.trigger_log(),
        retention=database.retention_store(),
        clock=SystemClock(),
        database=database.ping,
        tracking=registry.ping,
        stream=broker.ping,
    )
    try:
        trainer = assemble(settings, ports)
        app = tracing.app(trainer.app)
        return serve(app, settings.http_host, settings.trainer_port, trainer.loops)
    finally:
        broker.close()
        database.dispose()
        tracing.close()
