"""Wires the MQTT bridge: the one place of it that names adapters."""

from __future__ import annotations

import sys

from faultline.adapters.broker import open_broker
from faultline.adapters.clock import SystemClock
from faultline.service import Loop, serve
from faultline.telemetry import configure_logging
from services.ingest.bridge.api import bridge_app
from services.ingest.bridge.application import Bridge
from services.ingest.bridge.fleet import Fleet
from services.ingest.bridge.intake import Intake
from services.ingest.bridge.metrics import BridgeMetrics
from services.ingest.bridge.mqtt import MqttInlet
from services.ingest.bridge.settings import BridgeSettings
from services.ingest.bridge.stream import BridgeStream


def bridge() -> int:
    """Run the MQTT bridge until it is told to stop; returns the exit status."""
    settings = BridgeSettings()
    if not settings.mqtt_subscriptions:
        sys.stderr.write("FAULTLINE_MQTT_SUBSCRIPTIONS names no topic: see docs/mqtt.md\n")
        return 2
    configure_logging("bridge", settings.log_level, settings.log_format)
    metrics = BridgeMetrics()
    broker = open_broker(settings, client_id="faultline-bridge")
    clock = SystemClock()
    intake = Intake(settings.mqtt_in_flight, settings.mqtt_in_flight_bytes)
    try:
        inlet = MqttInlet(settings, intake, clock)
        application = Bridge(
            settings.mqtt_client_id,
            settings.mqtt_subscriptions,
            Fleet(settings.grids(), settings.mqtt_machines),
            broker.producer(),
            metrics,
        )
        stream = BridgeStream(
            broker,
            application,
            inlet,
            intake,
            clock=clock,
            metrics=metrics,
            retry_s=settings.bridge_retry_s,
        )
        checks = {"kafka": broker.ping, "state": stream.check, "mqtt": inlet.check}
        loops = [Loop("bridge", stream.run)]
        return serve(bridge_app(checks, metrics), settings.http_host, settings.bridge_port, loops)
    finally:
        broker.close()
