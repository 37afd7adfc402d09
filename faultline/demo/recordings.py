"""A folder of CSV files as a scenario: `healthy.csv` is the history, the others are live.

The files keep their own timestamps. It knows nothing of the stack they are sent through.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faultline.demo.scenario import Scenario, every_other, excluded_periods
from faultline.errors import FaultlineError
from faultline.matching import KnownFault
from faultline.readings import Reading
from faultline.sources.csv import CsvFile
from faultline.sources.recording import merged
from faultline.sources.truth import FaultRuns

HISTORY_FILE = "healthy.csv"
# However long the files are, their live part is to be seen within so many seconds.
_LIVE_S = 40.0
_SLOWEST_SPEED = 1.0
_TRAIN_AT, _SLOW_FROM, _WAIT_AT = 0.5, 0.8, 0.9
_SETTLE_ROWS = 120


class UnfitRecordings(FaultlineError):
    """A folder that no demonstration can be made of; the text says what it lacks."""


@dataclass(frozen=True)
class _Span:
    """What a file holds, found by reading it once."""

    first_ms: int
    last_ms: int
    rows: int
    faults: tuple[KnownFault, ...]


def recorded_scenario(
    folder: Path, machine_type: str | None = None, expected_kinds: Collection[str] = ()
) -> Scenario:
    """Read a folder of CSV files.

    Every file is a machine, named by the file. The column `fault`, where there is one, is the
    truth: empty is healthy, consecutive rows of one name are one fault.

    Parameters
    ----------
    machine_type
        None: the folder's name, its letters lowered and what a type must not hold made ``-``.
    expected_kinds
        Faults by these names must be found.

    Raises
    ------
    UnfitRecordings
        When `healthy.csv` or the other files are missing, a file is empty or out of order, the
        history is labelled faulty, the files overlap it, or no fault has an expected name.
    InvalidCsv
        When a file cannot be read as readings.
    """
    chosen_type = machine_type or _slug(folder.resolve().name)
    history, live = _files(folder, chosen_type)
    history_span = _scan(history)
    spans = {file.machine_id: _scan(file) for file in live}
    if history_span.faults:
        raise UnfitRecordings(
            f"{history.path} has rows labelled {history_span.faults[0].label.kind!r}; the history "
            "must be healthy, so move them to a file of their own"
        )
    live_start_ms = min(span.first_ms for span in spans.values())
    live_end_ms = max(span.last_ms for span in spans.values()) + 1
    if live_start_ms <= history_span.last_ms:
        raise UnfitRecordings(
            f"the live files in {folder} begin before {HISTORY_FILE} ends; a history is earlier "
            "than what is judged by it, so give the files times that follow it"
        )
    faults = tuple(fault for span in spans.values() for fault in span.faults)
    expected = frozenset(fault for fault in faults if fault.label.kind in expected_kinds)
    unknown = set(expected_kinds) - {fault.label.kind for fault in faults}
    if unknown:
        known = ", ".join(sorted({fault.label.kind for fault in faults})) or "none at all"
        raise UnfitRecordings(
            f"no row in {folder} is labelled {', '.join(sorted(unknown))}; the labels are: {known}"
        )
    span_ms = live_end_ms - live_start_ms
    train_at_ms = live_start_ms + int(span_ms * _TRAIN_AT)
    machine_ids = (history.machine_id, *spans)
    return Scenario(
        machine_type=chosen_type,
        machine_ids=machine_ids,
        by_http=every_other(machine_ids),
        history=lambda: _readings([history]),
        live=lambda: _readings(live),
        last_quarter_ms=history_span.last_ms - (history_span.last_ms - history_span.first_ms) // 4,
        live_start_ms=live_start_ms,
        live_end_ms=live_end_ms,
        speed=max(span_ms / 1_000 / _LIVE_S, _SLOWEST_SPEED),
        train_at_ms=train_at_ms,
        slow_from_ms=live_start_ms + int(span_ms * _SLOW_FROM),
        wait_at_ms=live_start_ms + int(span_ms * _WAIT_AT),
        faults=faults,
        expected=expected,
        excluded=excluded_periods(faults, train_at_ms, _settle_ms(history_span)),
    )


def _slug(name: str) -> str:
    slug = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:63]
    if not slug:
        raise UnfitRecordings(
            f"the folder's name {name!r} gives no machine type; name one with --machine-type"
        )
    return slug


def _files(folder: Path, machine_type: str) -> tuple[CsvFile, list[CsvFile]]:
    if not folder.is_dir():
        raise UnfitRecordings(f"{folder} is not a folder")
    paths = sorted(folder.glob("*.csv"))
    history = folder / HISTORY_FILE
    if history not in paths:
        raise UnfitRecordings(
            f"{folder} has no {HISTORY_FILE}: the history that normal is learnt from"
        )
    files = {path: CsvFile(path, path.stem, machine_type) for path in paths}
    live = [file for path, file in files.items() if path != history]
    if not live:
        raise UnfitRecordings(f"{folder} has nothing besides {HISTORY_FILE} to play live")
    return files[history], live


def _scan(file: CsvFile) -> _Span:
    runs = FaultRuns()
    first_ms = last_ms = -1
    rows = 0
    faults: list[KnownFault] = []
    for row in file.rows():
        timestamp_ms = row.reading.timestamp_ms
        if timestamp_ms <= last_ms:
            raise UnfitRecordings(
                f"{file.path}: the row at {row.reading.timestamp_ms} ms is not later than the one "
                "before it; sort the file by time and drop repeated rows"
            )
        if rows == 0:
            first_ms = timestamp_ms
        last_ms = timestamp_ms
        rows += 1
        ended = (label for label in runs.observe(row) if label.end_ms is not None)
        faults.extend(KnownFault(label) for label in ended)
    faults.extend(KnownFault(label) for label in runs.close())
    if rows == 0:
        raise UnfitRecordings(f"{file.path} holds no rows with values")
    return _Span(first_ms, last_ms, rows, tuple(faults))


def _settle_ms(history: _Span) -> int:
    """Time for the longest window to fill with healthy rows again, by the history's mean step."""
    return (history.last_ms - history.first_ms) // max(1, history.rows - 1) * _SETTLE_ROWS


def _readings(files: Sequence[CsvFile]) -> Iterator[Reading]:
    return (row.reading for row in merged(files))
