"""Takes messages apart into valid readings and refusals. Any bytes give one or the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import msgspec

from faultline.errors import InvalidReading
from faultline.readings.reading import Reading, WireReading, checked
from faultline.readings.refusal import explain

Hold = Callable[[int], None]
"""Told how many bytes more are held; may raise."""

# The pair, its number and its place in a list.
_REFUSAL_BYTES = 128
_Item = TypeVar("_Item")


class Refusal(NamedTuple):
    """Why one reading of a message was refused. `position` counts from 0 within the message."""

    position: int
    reason: str

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about: often more than the reading that it refuses."""
        return _REFUSAL_BYTES + sys.getsizeof(self.reason)


class Decoded(NamedTuple):
    """A message taken apart: its valid readings in order, and a refusal for each other one."""

    readings: list[Reading]
    refusals: list[Refusal]


_one_or_many = msgspec.json.Decoder(WireReading | list[WireReading])
_one = msgspec.json.Decoder(WireReading)
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])


def decode(value: bytes, hold: Hold = lambda _: None) -> Decoded:
    """Take a message apart: one JSON object or an array of them.

    Parameters
    ----------
    value
        The message's bytes, UTF-8 JSON.
    hold
        Told what each refusal takes.

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
        return _sifted(_items(value), _read, hold)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(value, error) from error
    items = wire if isinstance(wire, list) else [wire]
    if not items:
        raise InvalidReading("message is an empty array; send at least one reading")
    return _sifted(items, checked, hold)


def decode_lines(value: bytes, hold: Hold = lambda _: None) -> Decoded:
    """Take newline-delimited JSON apart: one object per line; empty lines are skipped.

    Parameters
    ----------
    value, hold
        As for `decode`.

    Returns
    -------
    Decoded
        As for `decode`; a line that is not JSON is a refusal too. Positions count the lines that
        are not empty; reasons end with the line's number, from 1, for which all lines count.

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
        return _with_lines(_sifted(items, checked, hold), value, hold)
    lines = [line for line in value.splitlines() if line.strip()]
    if not lines:
        raise InvalidReading("message is empty; send one reading on each line")
    return _with_lines(_sifted(lines, _read, hold), value, hold)


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


def _sifted(items: Iterable[_Item], read: Callable[[_Item], Reading], hold: Hold) -> Decoded:
    readings: list[Reading] = []
    refusals: list[Refusal] = []
    for position, item in enumerate(items):
        try:
            readings.append(read(item))
        except InvalidReading as error:
            refusal = Refusal(position, str(error))
            hold(refusal.size_bytes)
            refusals.append(refusal)
    return Decoded(readings, refusals)


def _with_lines(decoded: Decoded, value: bytes, hold: Hold) -> Decoded:
    """Let each refusal name its line."""
    readings, refusals = decoded
    if not refusals:
        return decoded
    numbers = [n for n, line in enumerate(value.splitlines(), start=1) if line.strip()]
    if len(numbers) != len(readings) + len(refusals):
        # The decoder also takes an object that goes over several lines: they tell nothing then.
        return decoded
    placed = []
    for position, reason in refusals:
        line = f" (line {numbers[position]})"
        hold(len(line))
        placed.append(Refusal(position, reason + line))
    return Decoded(readings, placed)


def _read(raw: bytes | msgspec.Raw) -> Reading:
    """Find out by itself what has the wrong shape. The slow path."""
    return checked(_shaped(raw))


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
