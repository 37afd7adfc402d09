"""A request over HTTP as a span, which continues the trace that its `traceparent` names."""

from __future__ import annotations

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CONTEXT = TraceContextTextMapPropagator()
_HEADERS = (b"traceparent", b"tracestate")
# Asked again and again by those who watch.
_UNSEEN = ("/health/", "/metrics")


class TracedApp:
    """An ASGI application whose requests are spans; health and metrics are not."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as a span of its trace."""
        if scope["type"] != "http" or scope["path"].startswith(_UNSEEN):
            await self._app(scope, receive, send)
            return
        carrier = {
            name.decode("latin-1"): content.decode("latin-1")
            for name, content in scope["headers"]
            if name in _HEADERS
        }
        method = scope["method"]
        with self._tracer.start_as_current_span(
            method,
            _CONTEXT.extract(carrier),
            SpanKind.SERVER,
            {"http.request.method": method, "url.path": scope["path"]},
        ) as span:

            async def seen(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            try:
                await self._app(scope, receive, seen)
            finally:
                # Known only now, also of what failed; without the ids that a path has.
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
