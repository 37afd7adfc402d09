"""The trace that a message carries: its headers, as W3C Trace Context has them."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import Span, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from faultline.ports.broker import Headers

_CONTEXT = TraceContextTextMapPropagator()
_NAMES = ("traceparent", "tracestate")


def headers_of(span: Span) -> Headers:
    """What a message carries to continue a span; nothing where the trace is not kept."""
    # Neither the bytes nor the next one's time for what nobody will see.
    if not span.get_span_context().trace_flags.sampled:
        return ()
    carrier: dict[str, str] = {}
    _CONTEXT.inject(carrier, set_span_in_context(span))
    return tuple((name, content.encode()) for name, content in carrier.items())


def context_of(headers: Headers) -> Context | None:
    """The trace that a message comes with; None where there is none that is kept."""
    carrier = {
        name: content.decode("latin-1")
        for name, content in headers
        if name in _NAMES and content is not None
    }
    if "traceparent" not in carrier:
        return None
    context = _CONTEXT.extract(carrier)
    return context if get_current_span(context).get_span_context().trace_flags.sampled else None
