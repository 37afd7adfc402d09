"""The bridge's HTTP interface: health and metrics only."""

from __future__ import annotations

from fastapi import FastAPI

from faultline.web import Checks, equip
from services.ingest.bridge.metrics import BridgeMetrics


def bridge_app(checks: Checks, metrics: BridgeMetrics) -> FastAPI:
    """Build the bridge's HTTP application; `checks` is what it needs, by name."""
    app = FastAPI(
        title="Faultline MQTT bridge",
        version="1",
        description="Brings readings from an MQTT broker to the topic. Health and metrics only.",
    )
    equip(app, checks, metrics.registry)
    return app
