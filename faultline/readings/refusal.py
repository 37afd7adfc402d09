"""The words in which readings are refused: which field, which value, which limit."""

from __future__ import annotations

from typing import Any

import msgspec

# What a field must be, and how that is said.
_FIELDS: dict[str, tuple[Any, str]] = {
    "machine_id": (str, "must be text"),
    "timestamp": (str | int | float, "must be RFC 3339 text or epoch milliseconds"),
    "sensors": (dict[str, msgspec.Raw], "must be an object of sensor names and numbers"),
    "machine_type": (str, "must be text"),
    "event_id": (str | None, "must be text, or left out"),
    "traceparent": (str | None, "must be text, or left out"),
}
FIELDS = (*_FIELDS, "message")
"""What `field_of` may answer."""
_REQUIRED = ("machine_id", "timestamp", "sensors")
_NUMBER = "must be a number of at most 1e+100 in size; send null for a missing value"


def field_of(reason: str) -> str:
    """The field that a refusal speaks of, or `message` where it is about the whole.

    >>> field_of("sensors.p: true must be a number")
    'sensors'
    >>> field_of("message is not valid JSON")
    'message'
    """
    head = reason.partition(":")[0].partition(".")[0]
    return head if head in _FIELDS else "message"


def short(text: str, limit: int = 60) -> str:
    """A quoted text, cut where it is long."""
    return _cut(repr(text), limit, len(text))


def explain(raw: bytes, error: msgspec.ValidationError) -> str:
    """Say which field of a JSON value has the wrong shape.

    Parameters
    ----------
    raw
        One reading as it came; valid JSON.
    error
        What the decoder said, which names no sensor and no value.
    """
    try:
        fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return f"message must be a JSON object for each reading, not {_shown(raw)}"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"message cannot be read: {error}"
    for name in _REQUIRED:
        if name not in fields:
            return f"{name}: is missing"
    for name, (kind, expectation) in _FIELDS.items():
        if name in fields and not _fits(fields[name], kind):
            return f"{name}: {_shown(fields[name])} {expectation}"
    for sensor, value in msgspec.json.decode(
        fields["sensors"], type=dict[str, msgspec.Raw]
    ).items():
        if not _fits(value, float | None):
            return f"sensors.{_cut(sensor, 60, len(sensor))}: {_shown(value)} {_NUMBER}"
    return f"message cannot be read: {error}"


def _fits(value: msgspec.Raw, kind: Any) -> bool:
    try:
        msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _shown(raw: bytes | msgspec.Raw) -> str:
    text = bytes(raw).decode("utf-8", "replace").strip()
    return _cut(text, 60, len(text))


def _cut(shown: str, limit: int, length: int) -> str:
    return shown if len(shown) <= limit else f"{shown[:limit]}… ({length} characters)"
