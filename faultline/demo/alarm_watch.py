"""Alarms as they appear on the topic, handed to whoever wants to tell of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from faultline import topics
from faultline.alarms import AlarmEvent, decode
from faultline.errors import Unavailable
from faultline.ports.broker import Broker

_POLL_S = 0.5


class AlarmWatch:
    """Follows `sensor.alarms` from now on, in a thread of its own; a context manager."""

    def __init__(self, broker: Broker, on_event: Callable[[AlarmEvent], None]) -> None:
        self._tail = broker.tail(topics.ALARMS)
        self._on_event = on_event
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarm watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    messages = self._tail.poll(_POLL_S)
                except Unavailable:
                    # Only the telling suffers: the alarms themselves are read from the store.
                    self._stop.wait(_POLL_S)
                    continue
                for message in messages:
                    self._on_event(decode(message.value))
        finally:
            self._tail.close()
