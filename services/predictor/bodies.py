"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Receive


class TooLarge(Exception):
    """A body with more bytes than are taken."""


async def read_body(receive: Receive, most_bytes: int) -> bytes:
    """The whole body.

    Raises
    ------
    TooLarge
        As soon as it has more than `most_bytes`.
    ClientDisconnect
        When the caller goes away before its end.
    """
    parts: list[bytes] = []
    left = most_bytes
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        left -= len(part)
        if left < 0:
            raise TooLarge(
                f"the body has more than {most_bytes} bytes; send fewer readings at once"
            )
        parts.append(part)
        if not message.get("more_body", False):
            # Mostly there is one part: joining gives it as it is.
            return b"".join(parts)
