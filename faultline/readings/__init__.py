"""A reading: one machine, one instant, named sensor values. And its one codec.

The wire format is in ``docs/asyncapi.yaml``. Kafka, HTTP, CSV replay and storage all pass through
`decode` or `make_reading`, so a reading that exists is a valid one.
"""

from __future__ import annotations

from faultline.readings.completion import completed
from faultline.readings.decoding import Decoded, Refusal, decode, decode_lines
from faultline.readings.encoding import by_machine, chunked, encode, encode_batch, encode_messages
from faultline.readings.reading import (
    DEFAULT_MACHINE_TYPE,
    MAX_ABSOLUTE_VALUE,
    MAX_MACHINE_ID_LENGTH,
    MAX_PASSENGER_LENGTH,
    MAX_SENSOR_NAME_LENGTH,
    MAX_SENSORS,
    Reading,
    check_machine_id,
    make_reading,
)
from faultline.readings.refusal import FIELDS, field_of
from faultline.readings.timestamps import (
    MAX_TIMESTAMP_MS,
    MIN_TIMESTAMP_MS,
    format_timestamp,
    parse_timestamp,
)

__all__ = [
    "DEFAULT_MACHINE_TYPE",
    "FIELDS",
    "MAX_ABSOLUTE_VALUE",
    "MAX_MACHINE_ID_LENGTH",
    "MAX_PASSENGER_LENGTH",
    "MAX_SENSORS",
    "MAX_SENSOR_NAME_LENGTH",
    "MAX_TIMESTAMP_MS",
    "MIN_TIMESTAMP_MS",
    "Decoded",
    "Reading",
    "Refusal",
    "by_machine",
    "check_machine_id",
    "chunked",
    "completed",
    "decode",
    "decode_lines",
    "encode",
    "encode_batch",
    "encode_messages",
    "field_of",
    "format_timestamp",
    "make_reading",
    "parse_timestamp",
]
