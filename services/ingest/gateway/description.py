"""What the OpenAPI document says of the gateway's requests and answers.

Readings are checked by `faultline.readings`, many at a time; this only tells people of the format.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from faultline.readings import (
    DEFAULT_MACHINE_TYPE,
    MAX_ABSOLUTE_VALUE,
    MAX_MACHINE_ID_LENGTH,
    MAX_SENSORS,
)

ABOUT = "Takes sensor readings over HTTP and hands them to the stream."
ATOMIC = "Take all readings of the request or none: one that is invalid refuses them all with 422."
MACHINE_ID = "CSV: whose the rows are that have no `machine_id`."
MACHINE_TYPE = "CSV: the type of the rows that have no `machine_type`."
IGNORE = "CSV: a column that is no sensor. May be repeated."
IDEMPOTENCY_KEY = (
    "A UUID, say. The same request of the same client with the same key gets the answer that the "
    "first one got, for some minutes, at this gateway. Another request of that client with the key "
    "is refused with 422; while the first is under way it is 409. Without a key nothing is stored "
    "twice either."
)


class RefusedReading(BaseModel):
    """One reading that breaks the format."""

    index: int = Field(
        description="Which of the array, of the lines or of the rows, counted from 0; empty lines "
        "do not count.",
        examples=[1],
    )
    reason: str = Field(
        description="Field, value and limit.",
        examples=["sensors.pressure: true must be a number of at most 1e+100 in size"],
    )


class ReadingsTaken(BaseModel):
    """What the broker has acknowledged, and what was refused."""

    accepted: int = Field(description="Readings taken.", examples=[2])
    machines: int = Field(description="Machines that they are of.", examples=[1])
    refused: int = Field(description="Readings that were not; 0 with 202.", examples=[1])
    errors: list[RefusedReading] = Field(description="The first hundred of those.")


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
_TABLE = (
    "timestamp,machine_id,machine_type,pressure,vibration\n"
    "2026-11-21T08:00:00Z,pump-07,pump,4.1,0.02\n"
    "2026-11-21T08:00:00Z,pump-08,pump,3.9,\n"
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
            "description": "When the body is compressed. The window of zstd may be 8 MiB.",
            "schema": {"type": "string", "enum": ["gzip", "zstd", "identity"]},
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
            "text/csv": {
                "schema": {
                    "type": "string",
                    "description": "The first line names the columns: `timestamp`, `machine_id`, "
                    "`machine_type` (the latter two may be left to the address), and one for each "
                    "sensor. An empty cell is a missing value. Separated by comma, semicolon or "
                    "tab.",
                },
                "examples": {"table": {"summary": "Two machines", "value": _TABLE}},
            },
        },
    },
}
