"""Reads the body of a request, never more of it than the limits allow.

Knows nothing of readings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request

from faultline.sources.delimited import SEPARATORS


class BodyFormat(Enum):
    """How the readings of a body are written."""

    JSON = "application/json"
    LINES = "application/x-ndjson"
    CSV = "text/csv"


_FORMATS: Mapping[str, BodyFormat] = {
    "": BodyFormat.JSON,
    "application/json": BodyFormat.JSON,
    "application/x-ndjson": BodyFormat.LINES,
    "application/ndjson": BodyFormat.LINES,
    "text/csv": BodyFormat.CSV,
}
_SEPARATORS: Mapping[BodyFormat, Sequence[bytes]] = {
    BodyFormat.JSON: (b",",),
    BodyFormat.LINES: (b",",),
    BodyFormat.CSV: tuple(each.encode() for each in SEPARATORS),
}


def body_format(content_type: str) -> BodyFormat:
    """The format that a content type names; nothing named is JSON.

    Raises
    ------
    HTTPException
        415 for any other.
    """
    named = content_type.partition(";")[0].strip().lower()
    if named not in _FORMATS:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type: {named!r} is not read here; send application/json (an object or an "
            "array of them), application/x-ndjson (an object per line) or text/csv",
        )
    return _FORMATS[named]


async def read_body(
    request: Request,
    limit_bytes: int,
    limit_s: float,
    hold: Callable[[int], None] = lambda _: None,
) -> bytes:
    """The body as it was sent.

    Parameters
    ----------
    limit_s
        Until all of it has come.
    hold
        Told how many bytes more are held; may raise.

    Raises
    ------
    HTTPException
        413 as soon as it is known to be longer than the limit, 408 when it takes too long.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large("body", limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(limit_s):
            async for chunk in request.stream():
                hold(len(chunk))
                body += chunk
                if len(body) > limit_bytes:
                    raise too_large("body", limit_bytes)
    except TimeoutError as error:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body had not come after {limit_s:g} s; send the same again, or less at once",
            # What still comes of it is no request.
            {"Connection": "close"},
        ) from error
    return bytes(body)


def count_values(body: bytes, form: BodyFormat, limit: int) -> int:
    """How many values a body has, about and at most: it may become as many objects.

    Raises
    ------
    HTTPException
        413 when there are more than the limit.
    """
    # A table has one separator; the commas of its numbers separate nothing.
    separators = max(map(body.count, _SEPARATORS[form]))
    values = separators + body.count(b"\n") + body.count(b"\r") + 1
    if values > limit:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has more than {limit} values; send the readings in several requests",
        )
    return values


def too_large(what: str, limit_bytes: int) -> HTTPException:
    """413, with what to do about it."""
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the {what} is larger than {limit_bytes} bytes; send the readings in several requests",
    )
