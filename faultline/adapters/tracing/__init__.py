"""Traces, where they are asked for: from a reading to its verdict, from a training to its reload.

Without an address to send them to, nothing is wrapped and nothing is imported: what is off costs
nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from starlette.types import ASGIApp

from faultline.errors import FaultlineError
from faultline.ports.broker import Broker
from faultline.ports.jobs import JobQueue
from faultline.settings import TracingSettings

__all__ = ["Tracing", "open_tracing"]


class Tracing:
    """What a service has to wrap to be traced; this one wraps nothing."""

    def broker(self, broker: Broker) -> Broker:
        """Let messages carry the trace that they belong to, and be followed by it."""
        return broker

    def app(self, app: ASGIApp) -> ASGIApp:
        """Let each request be a span."""
        return app

    def queue(self, queue: JobQueue) -> JobQueue:
        """Let jobs carry the trace of who asks for them, and be worked on within it."""
        return queue

    def reload(self, model_name: str, version: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Let the loading of a version be a span of the trace that an event told of it in."""
        return nullcontext()

    def close(self) -> None:
        """Send what is left."""


def open_tracing(settings: TracingSettings, service: str) -> Tracing:
    """Tracing as the settings have it.

    Raises
    ------
    FaultlineError
        When it is asked for and the packages of the extra `tracing` are missing.
    """
    if not settings.otlp_endpoint:
        return Tracing()
    try:
        from faultline.adapters.tracing.spans import exporting_to  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise FaultlineError(
            f"traces are to be sent to {settings.otlp_endpoint}, but {error.name} is not "
            "installed; install faultline[tracing], or unset FAULTLINE_OTLP_ENDPOINT"
        ) from error
    return exporting_to(settings.otlp_endpoint, service, settings.trace_ratio)
