"""Wires the gateway, the recorder and the MQTT bridge: the one place that names adapters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from faultline.adapters.broker import open_broker
from faultline.adapters.clock import SystemClock
from faultline.adapters.tracing import open_tracing
from faultline.service import Loop, serve
from faultline.telemetry import configure_logging
from services.ingest.bridge.bootstrap import bridge
from services.ingest.gateway.answers import Answers
from services.ingest.gateway.api import Bounds, gateway_app
from services.ingest.gateway.application import Gateway
from services.ingest.gateway.holding import Holding
from services.ingest.gateway.metrics import GatewayMetrics
from services.ingest.gateway.rate import Rate
from services.ingest.recorder.api import recorder_app
from services.ingest.recorder.application import Recorder
from services.ingest.recorder.dead_letters import DeadLetterQueue
from services.ingest.recorder.keeper import Keeper
from services.ingest.recorder.metrics import RecorderMetrics
from services.ingest.recorder.stream import BatchLimits, RecorderStream
from services.ingest.settings import GatewaySettings, RecorderSettings


def gateway() -> int:
    """Run the gateway until it is told to stop; returns the exit status."""
    settings = GatewaySettings()
    configure_logging("gateway", settings.log_level, settings.log_format)
    metrics = GatewayMetrics()
    tracing = open_tracing(settings, "gateway")
    broker = open_broker(settings, client_id="faultline-gateway")
    try:
        application = Gateway(
            tracing.broker(broker).producer(),
            metrics,
            message_readings=settings.gateway_message_readings,
            acknowledge_s=settings.gateway_acknowledge_s,
        )
        app = gateway_app(
            application,
            {"kafka": broker.ping},
            metrics,
            Bounds(
                settings.gateway_request_bytes,
                settings.gateway_inflated_bytes,
                settings.gateway_request_values,
                settings.gateway_body_s,
                Holding(settings.gateway_held_bytes),
                Rate(settings.gateway_client_readings_per_s),
                settings.gateway_client_header,
            ),
            Answers(settings.gateway_answers_bytes, settings.gateway_answers_s),
        )
        return serve(tracing.app(app), settings.http_host, settings.gateway_port)
    finally:
        broker.close()
        tracing.close()


def recorder() -> int:
    """Run the recorder until it is told to stop; returns the exit status."""
    # The gateway runs where there is no database driver.
    from faultline.adapters.postgres import PostgresDatabase  # noqa: PLC0415

    settings = RecorderSettings()
    configure_logging("recorder", settings.log_level, settings.log_format)
    metrics = RecorderMetrics()
    tracing = open_tracing(settings, "recorder")
    broker = open_broker(settings, client_id="faultline-recorder")
    database = PostgresDatabase(settings.database_url)
    clock = SystemClock()
    retention = settings.retention()
    try:
        letters = DeadLetterQueue(broker.producer(), clock, metrics)
        stream = RecorderStream(
            tracing.broker(broker),
            Recorder(database.record_store(), letters, metrics, clock, retention),
            clock,
            metrics,
            BatchLimits(
                rows=settings.recorder_batch_rows,
                size_bytes=settings.recorder_batch_bytes,
                linger_s=settings.recorder_linger_s,
            ),
            retry_s=settings.recorder_retry_s,
        )
        checks = {"kafka": broker.ping, "postgres": database.ping, "stream": stream.check}
        app = recorder_app(checks, metrics)
        keeper = Keeper(database.retention_store(), retention, metrics, clock)
        loops = [Loop("recorder", stream.run), Loop("keeper", keeper.run)]
        return serve(app, settings.http_host, settings.recorder_port, loops)
    finally:
        broker.close()
        database.dispose()
        tracing.close()


_SERVICES: dict[str, Callable[[], int]] = {
    "bridge": bridge,
    "gateway": gateway,
    "recorder": recorder,
}


def main(arguments: Sequence[str]) -> int:
    """Run the service that is named; returns the exit status."""
    if len(arguments) != 1 or arguments[0] not in _SERVICES:
        sys.stderr.write("usage: python -m services.ingest bridge|gateway|recorder\n")
        return 2
    return _SERVICES[arguments[0]]()
