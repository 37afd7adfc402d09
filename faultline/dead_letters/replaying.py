"""Sends letters again, after the same validation as any message; it knows no broker.

Only what was refused goes out, not the readings beside it in the same message: those are stored,
and a machine's stream does not gain from hearing them again. What still breaks the format is told
and not sent: it is in the dead-letter topic already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from faultline import topics
from faultline.dead_letters.letter import CONFLICT, Letter
from faultline.errors import InvalidReading
from faultline.readings import Decoded, Reading, Refusal, completed, decode

Send = Callable[[Letter, Sequence[Reading]], None]


class Refused(msgspec.Struct, frozen=True):
    """A letter that is refused still, wholly or in part."""

    letter: int
    why: str


@dataclass
class Replay:
    """What became of letters.

    Attributes
    ----------
    letters
        How many there were.
    sent_letters, sent_readings
        What went out, of how many of them.
    still_refused
        How many are, wholly or in part; `refused` names the first ones.
    conflicts
        How many were left out because they would be conflicts again.
    other_topics
        How many are no readings, and were left out, by the topic they came from.
    """

    letters: int = 0
    sent_letters: int = 0
    sent_readings: int = 0
    still_refused: int = 0
    conflicts: int = 0
    other_topics: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)


def replay(
    letters: Iterable[Letter], send: Send, found: Replay, *, conflicts: bool, limit: int
) -> None:
    """Validate letters again and hand on what is valid.

    Parameters
    ----------
    send
        Called with a letter and its readings that are valid now; does nothing in a dry run.
    found
        What becomes of them, up to date also when this is interrupted.
    conflicts
        Whether to send conflicts too: the stored values stay, so they end as letters again.
    limit
        How many of those that are still refused to name.
    """
    for letter in letters:
        found.letters += 1
        topic = letter.source.topic if letter.source else topics.READINGS.name
        if topic != topics.READINGS.name:
            found.other_topics[topic] += 1
            continue
        if letter.reason == CONFLICT and not conflicts:
            found.conflicts += 1
            continue
        decoded = _refused_part(letter)
        if decoded.refusals:
            found.still_refused += 1
            if len(found.refused) < limit:
                found.refused.append(Refused(letter.offset, _told(decoded.refusals)))
        if decoded.readings:
            send(letter, decoded.readings)
            found.sent_letters += 1
            found.sent_readings += len(decoded.readings)


def _refused_part(letter: Letter) -> Decoded:
    try:
        decoded = decode(completed(letter.value, letter.told))
    except InvalidReading as error:
        return Decoded([], [Refusal(0, str(error))])
    if not letter.positions:
        return decoded
    chosen = set(letter.positions)
    refused = {refusal.position for refusal in decoded.refusals}
    total = len(decoded.readings) + len(refused)
    valid = (position for position in range(total) if position not in refused)
    readings = [
        reading
        for position, reading in zip(valid, decoded.readings, strict=True)
        if position in chosen
    ]
    # Others of the same message have a letter of their own.
    return Decoded(
        readings, [refusal for refusal in decoded.refusals if refusal.position in chosen]
    )


def _told(refusals: Sequence[Refusal]) -> str:
    first = refusals[0]
    more = f" and {len(refusals) - 1} more" if len(refusals) > 1 else ""
    return f"[{first.position}] {first.reason}{more}"
