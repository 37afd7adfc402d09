"""Spans of reloads, in the traces that `model.events` tell of a version in."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer

from faultline import events
from faultline.adapters.tracing.headers import context_of
from faultline.ports.broker import Message, Tail

_MOST_VERSIONS = 1_000


class Reloads:
    """Knows the trace that each version was last told of in. Safe to share between threads."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._lock = threading.Lock()
        self._told: OrderedDict[tuple[str, str], Context | None] = OrderedDict()

    def hear(self, message: Message) -> None:
        """Note the trace of an event, also that it has none."""
        try:
            event = events.decode(message.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        version = (event.model_name, event.model_version)
        with self._lock:
            self._told[version] = context_of(message.headers)
            self._told.move_to_end(version)
            if len(self._told) > _MOST_VERSIONS:
                self._told.popitem(last=False)

    @contextmanager
    def reload(self, model_name: str, version: str) -> Iterator[None]:
        """Load a version, as a span where an event with a trace told of it."""
        with self._lock:
            context = self._told.get((model_name, version))
        if context is None:
            yield
            return
        attributes = {"faultline.model.name": model_name, "faultline.model.version": version}
        with self._tracer.start_as_current_span("reload", context, SpanKind.CONSUMER, attributes):
            yield


class TracedTail:
    """See `faultline.ports.broker.Tail`; of `model.events`."""

    def __init__(self, tail: Tail, reloads: Reloads) -> None:
        self._tail = tail
        self._reloads = reloads

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """New messages."""
        messages = self._tail.poll(timeout_s)
        for message in messages:
            self._reloads.hear(message)
        return messages

    def close(self) -> None:
        """Let go."""
        self._tail.close()
