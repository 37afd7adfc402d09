"""The predictor's live stream, taken apart into events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from faultline.errors import FaultlineError


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What the stream says.

    Attributes
    ----------
    kind
        ``verdict``, ``alarm``, ``model``, ``drift``; ``gap``: what was left out, and why;
        ``position``: nothing but that the stream has come so far.
    data
        As the predictor's lists answer; see its description of `/api/v1/stream`.
    id
        From here on the stream goes on after this event, at any replica.
    """

    kind: str
    id: str
    data: dict[str, Any] = {}


def parse(chunks: Iterable[bytes]) -> Iterator[LiveEvent]:
    """Events out of what comes over the wire; raises `FaultlineError` when they are none."""
    kind, data, event_id = "", "", ""
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value
        elif name == "id":
            event_id = value
        elif not line and event_id:
            yield LiveEvent(kind=kind or "position", id=event_id, data=_decoded(data))
            kind, data, event_id = "", "", ""


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # Not by str.splitlines, which takes other characters for ends of lines too.
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                raise _no_event(error) from error


def _decoded(data: str) -> dict[str, Any]:
    if not data:
        return {}
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _no_event(error) from error


def _no_event(error: Exception) -> FaultlineError:
    return FaultlineError(f"what comes is no event of a predictor's stream: {error}")
