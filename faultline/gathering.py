"""Writes the head and the body of an HTTP answer to the socket together.

uvicorn writes each on its own, and a write to a socket wakes the one who waits for it: of the 330
microseconds of CPU that a prediction took, the second write was 50. It must not know what is
answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_BYTES = 65_536
"""More does not wait: what is written without end in one turn has to meet its limits."""


class Gathering(HttpToolsProtocol):
    """uvicorn's protocol, on a transport that gathers what is written in one turn of the loop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with a connection."""
        super().connection_made(GatheringTransport(transport, self.loop))


class GatheringTransport(asyncio.Transport):
    """Passes on what is written in one turn of the event loop as one write, and all else at once.

    Parameters
    ----------
    transport
        That of the connection.
    loop
        Whose turns are meant.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes | bytearray | memoryview] = []
        self._waiting_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write at the end of this turn of the loop."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _MOST_BYTES:
            self._flush()

    def close(self) -> None:
        """Close after all that was written before."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting, self._waiting_bytes = [], 0
            if not self._transport.is_closing():
                self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._waiting, self._waiting_bytes = [], 0
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the connection's transport."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """As the connection's transport."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """As the connection's transport."""
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """As the connection's transport."""
        self._transport.set_protocol(protocol)
