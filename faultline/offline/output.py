"""Writes scores as CSV: one line per row of the input, in its order."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from faultline.errors import FaultlineError
from faultline.offline.scoring import Scored
from faultline.offline.table import Table

COLUMNS = ("score", "alarm", "status", "cluster", "top_sensor", "top_share")
DETAILS = ("known", "reason", "health")


class Unwritable(FaultlineError):
    """A file that cannot be written; the text names it."""


def write_scores(path: Path, table: Table, scored: Scored, *, details: bool = False) -> None:
    """Write the scores; with a machine column in the table, ``machine_id`` is the second column.

    Scores are written so that reading them gives the same float64.

    Parameters
    ----------
    details
        Whether `DETAILS` follow: whether the row is like a cluster, the reason of its status, and
        what is wrong with single sensors, such as ``pressure:stuck;flow:missing``.

    Raises
    ------
    Unwritable
        When the file cannot be written.
    """
    with_machine = table.machine_ids is not None
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            machine, added = ("machine_id",) if with_machine else (), DETAILS if details else ()
            writer.writerow(("timestamp", *machine, *COLUMNS, *added))
            rows = _rows(table, scored, with_machine)
            if details:
                rows = ((*row, *more) for row, more in zip(rows, _details(scored), strict=True))
            writer.writerows(rows)
    except OSError as error:
        raise unwritable(path, error) from error


def require_writable(path: Path, source: Path) -> None:
    """Check that a file can be written, before the work of making its content.

    Parameters
    ----------
    source
        The input, which must not be lost.

    Raises
    ------
    Unwritable
        When it is the input, its folder is not there, or it may not be written.
    """
    if path.exists() and source.exists() and path.samefile(source):
        raise Unwritable(f"{path} is the input itself; give another file's name")
    if path.is_dir():
        raise Unwritable(f"{path} is a folder; give a file's name")
    if not path.parent.is_dir():
        raise Unwritable(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Unwritable(f"{path}: may not be written")


def require_png(path: Path) -> None:
    """Check that the name of a picture does not promise another format.

    Raises
    ------
    Unwritable
        When it ends otherwise than in ``.png``, or has no ending.
    """
    if path.suffix.lower() not in {".png", ""}:
        raise Unwritable(f"{path}: pictures are written as PNG; let the name end in .png")


def unwritable(path: Path, error: OSError) -> Unwritable:
    """Say that a file cannot be written, and why."""
    return Unwritable(f"{path}: cannot be written: {error.strerror}")


def _rows(table: Table, scored: Scored, with_machine: bool) -> Iterator[tuple[object, ...]]:
    for stands, machine, score, alarm, status, cluster, sensor, share in zip(
        table.timestamps,
        scored.machines,
        scored.score.tolist(),
        scored.alarm.tolist(),
        scored.status,
        scored.cluster.tolist(),
        scored.top_sensor,
        scored.top_share.tolist(),
        strict=True,
    ):
        has_score = score == score  # noqa: PLR0124 - not NaN
        yield (
            stands,
            *((machine,) if with_machine else ()),
            repr(score) if has_score else "",
            int(alarm),
            status.value,
            cluster if has_score else "",
            sensor,
            f"{share:.4f}" if sensor else "",
        )


def _details(scored: Scored) -> Iterator[tuple[object, ...]]:
    for score, known, reason, health in zip(
        scored.score.tolist(), scored.known, scored.reason, scored.health, strict=True
    ):
        has_score = score == score  # noqa: PLR0124 - not NaN
        told = ";".join(f"{sensor}:{what}" for sensor, what in health.items())
        yield int(known) if has_score else "", reason, told
