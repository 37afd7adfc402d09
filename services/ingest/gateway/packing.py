"""Undoes gzip and zstd, never further than a limit.

Knows nothing of readings.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from http import HTTPStatus

import zstandard
from starlette.exceptions import HTTPException

from services.ingest.gateway.body import too_large


class Packing(Enum):
    """How a body is compressed; the value is what it begins with."""

    NONE = b""
    GZIP = b"\x1f\x8b"
    ZSTD = b"\x28\xb5\x2f\xfd"


_PACKINGS = {
    "": Packing.NONE,
    "identity": Packing.NONE,
    "gzip": Packing.GZIP,
    "x-gzip": Packing.GZIP,
    "zstd": Packing.ZSTD,
}
_GZIP = 16 + zlib.MAX_WBITS
# RFC 9659: what a decoder of this content coding supports, and no more need be allotted.
_WINDOW_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 1024 * 1024
# The library does not bound what it makes of a piece. Four bytes are the smallest block that is
# any, and a block is 128 KiB at most: no piece of this many becomes more than 4 MiB (RFC 8878).
_ZSTD_PIECE_BYTES = 128
# What follows a member is copied for each one: of very many, even empty ones, that takes minutes.
_MAX_MEMBERS = 100
_UNPACKED = "body, once unpacked,"

Chunks = Callable[[bytes], Iterator[bytes]]


def packing(content_encoding: str) -> Packing:
    """What a content encoding names.

    Raises
    ------
    HTTPException
        415 when it is neither gzip, zstd nor none.
    """
    named = content_encoding.strip().lower()
    if named not in _PACKINGS:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding: {named!r} is not read here; send gzip, zstd or none",
        )
    return _PACKINGS[named]


def refuse_unnamed(body: bytes) -> None:
    """Refuse a compressed body that was sent without saying so.

    Raises
    ------
    HTTPException
        415 when it begins as gzip or zstd does, and no text can.
    """
    for each in (Packing.GZIP, Packing.ZSTD):
        if body.startswith(each.value):
            name = each.name.lower()
            raise HTTPException(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"the body is {name}; add the header Content-Encoding: {name}",
            )


def unpack(
    body: bytes, packed: Packing, limit_bytes: int, hold: Callable[[int], None] = lambda _: None
) -> bytes:
    """Undo the compression, without ever holding much more than the limit.

    Parameters
    ----------
    hold
        Told how many bytes are about to be held more; may raise.

    Raises
    ------
    HTTPException
        413 when it would be longer; 400 when it is not what it says, is cut short, or has too many
        members or frames.
    """
    if packed is Packing.NONE:
        refuse_unnamed(body)
        return body
    # Gives what was written to it away without a copy.
    unpacked = io.BytesIO()
    for chunk in _CHUNKS[packed](body):
        if unpacked.tell() + len(chunk) > limit_bytes:
            raise too_large(_UNPACKED, limit_bytes)
        hold(len(chunk))
        unpacked.write(chunk)
    return unpacked.getvalue()


def _gunzipped(body: bytes) -> Iterator[bytes]:
    rest = body
    for _member in range(_MAX_MEMBERS):
        # A file may be several, one after the other.
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            try:
                chunk = member.decompress(rest, _CHUNK_BYTES)
            except zlib.error as error:
                raise _broken("gzip", str(error)) from error
            rest = member.unconsumed_tail
            if not chunk and not member.eof:
                raise _broken("gzip", "it ends too soon")
            yield chunk
        rest = member.unused_data
        if not rest:
            return
    raise _broken("gzip", f"it has more than {_MAX_MEMBERS} members; compress it as one")


def _unzstd(body: bytes) -> Iterator[bytes]:
    rest = memoryview(body)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    for _frame in range(_MAX_MEMBERS):
        try:
            if zstandard.get_frame_parameters(rest).window_size > _WINDOW_BYTES:
                raise too_large("window of the body's zstd (--long, --ultra)", _WINDOW_BYTES)
            frame = decompressor.decompressobj()
            while rest and not frame.eof:
                piece = rest[:_ZSTD_PIECE_BYTES]
                yield frame.decompress(piece)
                rest = rest[len(piece) - len(frame.unused_data) :]
        except zstandard.ZstdError as error:
            raise _broken("zstd", str(error)) from error
        if not frame.eof:
            raise _broken("zstd", "it ends too soon")
        if not rest:
            return
    raise _broken("zstd", f"it has more than {_MAX_MEMBERS} frames; compress it as one")


_CHUNKS: dict[Packing, Chunks] = {Packing.GZIP: _gunzipped, Packing.ZSTD: _unzstd}


def _broken(name: str, why: str) -> HTTPException:
    return HTTPException(
        HTTPStatus.BAD_REQUEST, f"Content-Encoding says {name}, but the body is not: {why}"
    )
