"""Choosing some letters of many, and counting them, without keeping them all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from faultline.dead_letters.letter import Letter


@dataclass(frozen=True)
class Selection:
    """Which letters; what is empty or None chooses all.

    Attributes
    ----------
    reasons
        One of these.
    machine
        Named by the key or in the message.
    since_ms, until_ms
        When they were refused, milliseconds since the epoch; the end itself is left out.
    partition, offset
        Where the refused message stood.
    """

    reasons: frozenset[str] = frozenset()
    machine: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    offset: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Whether it is one of them."""
        source = letter.source
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.at_ms >= self.since_ms)
            and (self.until_ms is None or letter.at_ms < self.until_ms)
            and (self.partition is None or (source and source.partition) == self.partition)
            and (self.offset is None or (source and source.offset) == self.offset)
            # Last: it looks into the message.
            and (self.machine is None or self.machine in letter.machines)
        )


@dataclass
class Count:
    """Letters of one reason, and when the first and the last was refused (since the epoch)."""

    first_ms: int
    last_ms: int
    letters: int = 0

    def add(self, at_ms: int) -> None:
        """Count one more."""
        self.letters += 1
        self.first_ms = min(at_ms, self.first_ms)
        self.last_ms = max(at_ms, self.last_ms)


@dataclass(frozen=True)
class Entry:
    """A letter in a list.

    Attributes
    ----------
    letter
        Without its bytes, of which a long list would hold too many.
    machine
        The first that it is about; None when it names none.
    """

    letter: Letter
    machine: str | None
    size_bytes: int


@dataclass
class Survey:
    """What was found.

    Attributes
    ----------
    newest
        The last of the chosen ones, the newest first.
    counts
        The chosen ones by reason.
    seen
        Reasons of all letters, chosen or not.
    """

    newest: list[Entry] = field(default_factory=list)
    counts: dict[str, Count] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    @property
    def chosen(self) -> int:
        """How many were chosen."""
        return sum(count.letters for count in self.counts.values())


def survey(letters: Iterable[Letter], selection: Selection, limit: int) -> Survey:
    """Look through letters that come from the oldest on; keeps `limit` of them at most."""
    found = Survey()
    newest: deque[Entry] = deque(maxlen=limit)
    for letter in letters:
        found.seen.add(letter.reason)
        if selection.takes(letter):
            found.counts.setdefault(letter.reason, Count(letter.at_ms, letter.at_ms)).add(
                letter.at_ms
            )
            machine = next(iter(letter.machines), None)
            newest.append(Entry(replace(letter, value=b""), machine, len(letter.value)))
    found.newest = list(reversed(newest))
    return found
