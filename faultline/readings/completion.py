"""Completes a message whose readings leave out of themselves what is known from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_one = msgspec.json.Decoder(dict[str, msgspec.Raw])
_many = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.encode


def completed(value: bytes, told: Mapping[str, str]) -> bytes:
    """A message with the fields that are told in each reading that lacks them.

    Parameters
    ----------
    value
        One JSON object or an array of them. What is neither stays as it is: the codec says what is
        wrong with it.

    Examples
    --------
    >>> completed(b'[{"timestamp": 1}, {"machine_id": "q"}]', {"machine_id": "p"})
    b'[{"machine_id":"p","timestamp":1},{"machine_id":"q"}]'
    """
    if not told:
        return value
    fields = {name: msgspec.Raw(_encode(text)) for name, text in told.items()}
    try:
        items = _many.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return bytes(_completed(msgspec.Raw(value), fields))
    return _encode([_completed(each, fields) for each in items])


def _completed(reading: msgspec.Raw, fields: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode({**fields, **_one.decode(reading)}))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return reading
