"""Dead letters: messages that were refused, unchanged, with the reason in their headers.

The recorder writes them (``docs/adr/0002-who-writes-the-dead-letters.md``), and the MQTT bridge
its own; here is what their headers say, how some are chosen of many, written to a file to be
mended, and sent again.
"""

from __future__ import annotations

from faultline.dead_letters.letter import (
    CONFLICT,
    HEADERS,
    REPLAYED_FROM,
    Letter,
    Source,
    letter_headers,
    letters_of,
    read_letter,
    told_headers,
)
from faultline.dead_letters.record import Record, record_of, records_in
from faultline.dead_letters.replaying import Refused, Replay, replay
from faultline.dead_letters.selection import Entry, Selection, Survey, survey

__all__ = [
    "CONFLICT",
    "HEADERS",
    "REPLAYED_FROM",
    "Entry",
    "Letter",
    "Record",
    "Refused",
    "Replay",
    "Selection",
    "Source",
    "Survey",
    "letter_headers",
    "letters_of",
    "read_letter",
    "record_of",
    "records_in",
    "replay",
    "survey",
    "told_headers",
]
