"""What the OpenAPI document says of the gateway's request body, which no model describes.

Readings are checked by `faultline.readings`, many at a time; this only tells people of the format.
"""

from __future__ import annotations

from typing import Any

from faultline.readings import (
    DEFAULT_MACHINE_TYPE,
    MAX_ABSOLUTE_VALUE,
    MAX_MACHINE_ID_LENGTH,
    MAX_SENSORS,
)

ABOUT = "Takes sensor readings over HTTP and hands them to the stream."

_ONE = {
    "machine_id": "pump-07",
    "machine_type": "pump",
    "timestamp": "2026-11-21T08:00:00.000Z",
    "sensors": {"pressure": 4.1, "vibration": 0.02},
}
_NEXT = {**_ONE, "timestamp": 1795248001000, "sensors": {"pressure": 4.2, "vibration": None}}
_LINES = (
    '{"machine_id":"pump-07","timestamp":"2026-11-21T08:00:00Z","sensors":{"pressure":4.1}}\n'
    '{"machine_id":"pump-08","timestamp":"2026-11-21T08:00:00Z","sensors":{"pressure":3.9}}\n'
)

_READING: dict[str, Any] = {
    "type": "object",
    "title": "Reading",
    "required": ["machine_id", "timestamp", "sensors"],
    "properties": {
        "machine_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_MACHINE_ID_LENGTH,
            "description": "Printable characters of any script.",
        },
        "machine_type": {
            "type": "string",
            "pattern": "^[a-z0-9_-]{1,63}$",
            "default": DEFAULT_MACHINE_TYPE,
            "description": "Names the model that judges the reading.",
        },
        "timestamp": {
            "description": "RFC 3339 (without a zone it is UTC), or milliseconds since the epoch. "
            "Years 1970 to 2100.",
            "oneOf": [{"type": "string"}, {"type": "number"}],
        },
        "sensors": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": MAX_SENSORS,
            "additionalProperties": {
                "type": ["number", "null"],
                "minimum": -MAX_ABSOLUTE_VALUE,
                "maximum": MAX_ABSOLUTE_VALUE,
            },
            "description": "Name to value; null is a missing value. NaN and infinity are refused.",
        },
        "event_id": {"type": "string", "description": "Travels along untouched."},
        "traceparent": {"type": "string", "description": "Travels along untouched."},
    },
}

REQUEST_BODY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Content-Encoding",
            "in": "header",
            "required": False,
            "description": "`gzip` when the body is compressed.",
            "schema": {"type": "string", "enum": ["gzip", "identity"]},
        }
    ],
    "requestBody": {
        "required": True,
        "description": "One reading or many. Many in one request is what makes it fast.",
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [_READING, {"type": "array", "minItems": 1, "items": _READING}]
                },
                "examples": {
                    "one": {"summary": "One reading", "value": _ONE},
                    "many": {
                        "summary": "Two readings, the second with a missing value",
                        "value": [_ONE, _NEXT],
                    },
                },
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "One reading as JSON on each line."},
                "examples": {"lines": {"summary": "Two machines", "value": _LINES}},
            },
        },
    },
}
