"""What one verdict stands on, found in the store and read from it a page at a time.

However long the history is, a page of it is in memory. It judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from faultline.ports.stores import FleetStore, MachineRows, StoredVerdict
from faultline.readings import format_timestamp

Seen = Callable[[int, int | None], None]
"""Told how many verdicts have been looked at, and of how many: None on the way back."""


def unseen(done: int, total: int | None) -> None:
    """Nobody looks on."""


PAGE_ROWS = 5_000
"""Verdicts, and readings, in memory at the same time."""


@dataclass(frozen=True)
class Past:
    """What a verdict stands on.

    Attributes
    ----------
    first_ms
        Time of the first verdict to give again: it filled the window, or is the version's own.
    begun_ms
        Time of the version's first verdict since it last began.
    of_version
        How many since then, with the one that is asked about.
    before
        How many before that, whose readings filled the window.
    versions_before
        Name and number of those that gave them.
    known_since_ms
        When the machine was first heard.
    """

    stored: StoredVerdict
    first_ms: int
    begun_ms: int
    of_version: int
    before: int
    versions_before: tuple[tuple[str, str], ...]
    known_since_ms: int

    def caveats(self) -> list[str]:
        """What is known to be missing."""
        if self.before or self.begun_ms <= self.known_since_ms:
            return []
        return [
            f"the verdicts before {format_timestamp(self.begun_ms)} are no longer stored, while "
            f"the machine is known since {format_timestamp(self.known_since_ms)}: what the version "
            "had followed until then is lost"
        ]


def trace(store: FleetStore, stored: StoredVerdict, rows_to_fill: int, seen: Seen) -> Past:
    """Look for what a verdict stands on, newest first.

    Parameters
    ----------
    rows_to_fill
        A window, so far back as any version before may have looked.
    """
    begun_ms, of_version = stored.verdict.timestamp_ms, 1
    # Before the version's own, as far as it is known: newest first, as many as fill a window.
    before: list[StoredVerdict] = []
    skipped = 0
    ended = stored.model_version is None
    for page, one in enumerate(_newest_first(store, stored), start=1):
        if page % PAGE_ROWS == 0:
            seen(page, None)
        ended = ended or _is_of_another(one, stored)
        if ended and len(before) >= rows_to_fill:
            break
        if not ended and one.model_version is not None:
            # Rows without a model change nothing; a version begins with its own first verdict.
            of_version += len(before) + skipped + 1
            begun_ms = one.verdict.timestamp_ms
            before.clear()
            skipped = 0
        elif len(before) < rows_to_fill:
            before.append(one)
        else:
            skipped += 1
    named = ((one.model_name or "", one.model_version) for one in before[::-1])
    return Past(
        stored=stored,
        first_ms=before[-1].verdict.timestamp_ms if before else begun_ms,
        begun_ms=begun_ms,
        of_version=of_version,
        before=len(before),
        versions_before=tuple(
            dict.fromkeys((name, version) for name, version in named if version is not None)
        ),
        known_since_ms=store.machine(stored.machine_id).first_seen_ms,
    )


def _newest_first(store: FleetStore, stored: StoredVerdict) -> Iterator[StoredVerdict]:
    """The verdicts before one."""
    end_ms = stored.verdict.timestamp_ms
    while True:
        page = store.verdicts(stored.machine_id, end_ms=end_ms, limit=PAGE_ROWS)
        yield from page
        if len(page) < PAGE_ROWS:
            return
        end_ms = page[-1].verdict.timestamp_ms


class Block(NamedTuple):
    """Readings and verdicts of the same stretch of time, in time order."""

    rows: MachineRows
    verdicts: Sequence[StoredVerdict]


def blocks(store: FleetStore, machine_id: str, start_ms: int, end_ms: int) -> Iterator[Block]:
    """All readings and verdicts of a time range, end excluded, at most a page of each at a time."""
    while start_ms < end_ms:
        verdicts = store.verdicts(machine_id, start_ms, end_ms, limit=PAGE_ROWS, oldest_first=True)
        rows = store.readings(machine_id, start_ms, end_ms, limit=PAGE_ROWS)
        until_ms = end_ms
        if len(verdicts) == PAGE_ROWS:
            until_ms = verdicts[-1].verdict.timestamp_ms + 1
        if len(rows.timestamps_ms) == PAGE_ROWS:
            until_ms = min(until_ms, int(rows.timestamps_ms[-1]) + 1)
        kept = int(np.searchsorted(rows.timestamps_ms, until_ms))
        yield Block(
            replace(rows, timestamps_ms=rows.timestamps_ms[:kept], values=rows.values[:kept]),
            [one for one in verdicts if one.verdict.timestamp_ms < until_ms],
        )
        start_ms = until_ms


def _is_of_another(one: StoredVerdict, stored: StoredVerdict) -> bool:
    """Whether another version gave it: it followed anew. Rows without a model change nothing."""
    return one.model_version is not None and (one.model_name, one.model_version) != (
        stored.model_name,
        stored.model_version,
    )
