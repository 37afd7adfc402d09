"""The recorder's HTTP interface: health and metrics only."""

from __future__ import annotations

from fastapi import FastAPI

from faultline.web import Checks, equip
from services.ingest.recorder.metrics import RecorderMetrics


def recorder_app(checks: Checks, metrics: RecorderMetrics) -> FastAPI:
    """Build the recorder's HTTP application; `checks` is what it needs, by name."""
    app = FastAPI(
        title="Faultline recorder",
        version="1",
        description="Stores readings, verdicts, alarms and labels. Health and metrics only.",
    )
    equip(app, checks, metrics.registry)
    return app
