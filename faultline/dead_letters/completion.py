"""What a letter's readings leave out of themselves: its headers tell it, its payload is unchanged.

The MQTT bridge knows it from the topic that a payload came on.
"""

from __future__ import annotations

from collections.abc import Mapping

from faultline.dead_letters.letter import Letter
from faultline.ports.broker import Headers
from faultline.readings import completed

COMPLETION: Mapping[str, str] = {
    "machine_id": "Of the payload's readings that name no machine.",
    "machine_type": "Of the payload's readings that name no machine type.",
}
"""Headers that a letter may have beside its own; both are text in UTF-8."""


def completion_headers(told: Mapping[str, str]) -> Headers:
    """The headers of what is told, by the names in `COMPLETION`."""
    return tuple(
        (name, told[name].encode("utf-8", "replace")) for name in COMPLETION if name in told
    )


def completed_value(letter: Letter) -> bytes:
    """The letter's payload, each reading with what the headers tell of it."""
    told = {
        name: content.decode("utf-8", "replace")
        for name, content in letter.headers
        if name in COMPLETION
    }
    return completed(letter.value, told)
