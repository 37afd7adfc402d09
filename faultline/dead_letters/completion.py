"""What a letter's readings leave out of themselves: its headers tell it, its payload is unchanged.

The MQTT bridge knows it from the topic that a payload came on.
"""

from __future__ import annotations

from collections.abc import Mapping

from faultline.dead_letters.letter import Letter
from faultline.ports.broker import Headers
from faultline.readings import completed

# Fields of a reading; headers of the same names, beside the letter's own.
_NAMES = ("machine_id", "machine_type")


def completion_headers(told: Mapping[str, str]) -> Headers:
    """The headers of what is told: machine_id, machine_type, or one of them, in UTF-8."""
    return tuple((name, told[name].encode("utf-8", "replace")) for name in _NAMES if name in told)


def completed_value(letter: Letter) -> bytes:
    """The letter's payload, each reading with what the headers tell of it."""
    told = {
        name: content.decode("utf-8", "replace")
        for name, content in letter.headers
        if name in _NAMES
    }
    return completed(letter.value, told)
