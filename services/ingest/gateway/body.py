"""Reads the body of a request, never more of it than the limits allow.

Knows nothing of readings.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request

_GZIP = 16 + zlib.MAX_WBITS


class BodyFormat(Enum):
    """How the readings of a body are written."""

    JSON = "application/json"
    LINES = "application/x-ndjson"


_FORMATS: Mapping[str, BodyFormat] = {
    "": BodyFormat.JSON,
    "application/json": BodyFormat.JSON,
    "application/x-ndjson": BodyFormat.LINES,
    "application/ndjson": BodyFormat.LINES,
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
            "array of them) or application/x-ndjson (an object per line)",
        )
    return _FORMATS[named]


def is_gzip(content_encoding: str) -> bool:
    """Whether a content encoding is gzip.

    Raises
    ------
    HTTPException
        415 when it is neither gzip nor none.
    """
    named = content_encoding.strip().lower()
    if named not in ("", "identity", "gzip", "x-gzip"):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding: {named!r} is not read here; send gzip or none",
        )
    return named.endswith("gzip")


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body as it was sent.

    Raises
    ------
    HTTPException
        413 as soon as it is known to be longer than the limit.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large("body", limit_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise _too_large("body", limit_bytes)
    return bytes(body)


def inflate(body: bytes, limit_bytes: int) -> bytes:
    """Undo gzip, without ever holding more than the limit.

    Raises
    ------
    HTTPException
        413 when it would be longer, 400 when it is not gzip, is cut short or has too many members.
    """
    inflated = bytearray()
    rest = body
    members = 0
    while rest:
        members += 1
        if members > _MAX_MEMBERS:
            raise _not_gzip(f"it has more than {_MAX_MEMBERS} members; compress it as one")
        # A file may be several, one after the other.
        member = zlib.decompressobj(_GZIP)
        try:
            inflated += member.decompress(rest, limit_bytes + 1 - len(inflated))
        except zlib.error as error:
            raise _not_gzip(str(error)) from error
        if len(inflated) > limit_bytes:
            raise _too_large("body, once inflated,", limit_bytes)
        if not member.eof:
            raise _not_gzip("it ends too soon")
        rest = member.unused_data
    return bytes(inflated)


def refuse_unnamed_gzip(body: bytes) -> None:
    """Refuse a compressed body that was sent without saying so.

    Raises
    ------
    HTTPException
        415 when it begins as gzip does, and no JSON can.
    """
    if body.startswith(b"\x1f\x8b"):
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body is gzip; add the header Content-Encoding: gzip",
        )


# What follows a member is copied for each one: of very many, even empty ones, that takes minutes.
_MAX_MEMBERS = 100


def _too_large(what: str, limit_bytes: int) -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the {what} is larger than {limit_bytes} bytes; send the readings in several requests",
    )


def _not_gzip(why: str) -> HTTPException:
    return HTTPException(
        HTTPStatus.BAD_REQUEST, f"Content-Encoding says gzip, but the body is not: {why}"
    )
