"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from starlette.requests import Request


class TooLarge(Exception):
    """A body with more bytes than are taken."""


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The whole body; raises `TooLarge` as soon as it has more than `most_bytes`."""
    parts: list[bytes] = []
    left = most_bytes
    async for part in request.stream():
        left -= len(part)
        if left < 0:
            raise TooLarge(
                f"the body has more than {most_bytes} bytes; send fewer readings at once"
            )
        parts.append(part)
    # Mostly there is one part: joining gives it as it is.
    return b"".join(parts)
