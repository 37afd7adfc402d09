"""Takes messages apart into valid readings and refusals. Any bytes give one or the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from faultline.errors import InvalidReading
from faultline.readings.reading import Reading, WireReading, checked
from faultline.readings.refusal import explain


class Refusal(NamedTuple):
    """Why one reading of a message was refused. `position` counts from 0 within the message."""

    position: int
    reason: str


class Decoded(NamedTuple):
    """A message taken apart: its valid readings in order, and a refusal for each other one."""

    readings: list[Reading]
    refusals: list[Refusal]


_one_or_many = msgspec.json.Decoder(WireReading | list[WireReading])
_one = msgspec.json.Decoder(WireReading)
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])


def decode(value: bytes) -> Decoded:
    """Take a message apart: one JSON object or an array of them.

    Parameters
    ----------
    value
        The message's bytes, UTF-8 JSON.

    Returns
    -------
    Decoded
        One refusal per reading that breaks the format or a limit; the others stand.

    Raises
    ------
    InvalidReading
        When the message as a whole cannot be read (not JSON, neither object nor array, empty).
    """
    try:
        wire = _one_or_many.decode(value)
    except msgspec.ValidationError:
        return _one_by_one(_items(value))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(value, error) from error
    items = wire if isinstance(wire, list) else [wire]
    if not items:
        raise InvalidReading("message is an empty array; send at least one reading")
    return _checked(items)


def decode_lines(value: bytes) -> Decoded:
    """Take newline-delimited JSON apart: one object per line; empty lines are skipped.

    Returns
    -------
    Decoded
        As for `decode`; a line that is not JSON is a refusal too. Positions count the lines that
        are not empty.

    Raises
    ------
    InvalidReading
        When there is no line with anything on it.
    """
    try:
        items = _one.decode_lines(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        items = []
    if items:
        return _checked(items)
    lines = [line for line in value.splitlines() if line.strip()]
    if not lines:
        raise InvalidReading("message is empty; send one reading on each line")
    return _one_by_one(lines)


def _items(value: bytes) -> list[msgspec.Raw] | list[bytes]:
    """The readings of a message, still encoded."""
    start = value.lstrip()[:1]
    if start == b"[":
        try:
            return _raw_items.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unreadable(value, error) from error
    if start == b"{":
        return [value]
    raise InvalidReading("message must be a JSON object or an array of them")


def _checked(items: Iterable[WireReading]) -> Decoded:
    readings: list[Reading] = []
    refusals: list[Refusal] = []
    for position, item in enumerate(items):
        try:
            readings.append(checked(item))
        except InvalidReading as error:
            refusals.append(Refusal(position, str(error)))
    return Decoded(readings, refusals)


def _one_by_one(items: Iterable[bytes | msgspec.Raw]) -> Decoded:
    """Find out which readings of a message have the wrong shape. The slow path."""
    readings: list[Reading] = []
    refusals: list[Refusal] = []
    for position, raw in enumerate(items):
        try:
            readings.append(checked(_shaped(raw)))
        except InvalidReading as error:
            refusals.append(Refusal(position, str(error)))
    return Decoded(readings, refusals)


def _shaped(raw: bytes | msgspec.Raw) -> WireReading:
    try:
        return _one.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidReading(_misshapen(bytes(raw), error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(bytes(raw), error) from error


def _misshapen(raw: bytes, error: msgspec.ValidationError) -> str:
    try:
        return explain(raw, error)
    except RecursionError as deep:
        # Decoding stopped at the first fault; only looking for its name went down there.
        return str(_unreadable(raw, deep))


def _unreadable(value: bytes, error: Exception) -> InvalidReading:
    if isinstance(error, RecursionError):
        return InvalidReading("message is nested too deeply to be a reading")
    if isinstance(error, UnicodeDecodeError):
        return InvalidReading(f"message is not UTF-8: {error}")
    hint = ""
    if b"NaN" in value or b"Infinity" in value:
        hint = "; JSON knows neither NaN nor Infinity, send null for a missing value"
    return InvalidReading(f"message is not valid JSON: {error}{hint}")
