"""Tables of text for the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence

import typer

_GAP = 2


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    to_the_right: Collection[str],
    may_go: Sequence[str] = (),
    columns: int | None = None,
) -> None:
    """Print lines under a header, the named columns to the right.

    Parameters
    ----------
    may_go
        Columns that are left out, in this order, as long as the lines are too long.
    columns
        Characters of a line, see `terminal_columns`; None is no limit.
    """
    gone = too_wide(header, rows, columns, may_go)
    kept = [column for column, name in enumerate(header) if name not in gone]
    lines = [[line[column] for column in kept] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            cell.rjust(width) if name in to_the_right else cell.ljust(width)
            for name, cell, width in zip(lines[0], line, widths, strict=True)
        )
        typer.echo("  ".join(cells).rstrip())
    if gone:
        typer.echo(f"too narrow here for: {', '.join(gone)} (--json has all)")


def too_wide(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: int | None,
    may_go: Sequence[str],
) -> Sequence[str]:
    """Which of the columns that may go have to, so that the rest fits; None columns fit all.

    >>> too_wide(("a", "b", "c"), [("12", "3456", "78")], 9, ("c", "b"))
    ('c',)
    >>> too_wide(("a", "b", "c"), [("12", "3456", "78")], None, ("c", "b"))
    ()
    """
    widths = {
        name: max(map(len, column)) + _GAP
        for name, column in zip(header, zip(header, *rows, strict=True), strict=True)
    }
    need = sum(widths.values()) - _GAP
    gone = 0
    while columns is not None and need > columns and gone < len(may_go):
        need -= widths[may_go[gone]]
        gone += 1
    return tuple(may_go[:gone])


def shortened(text: str, most: int) -> str:
    """The beginning of a text that is too long for a line.

    >>> shortened("much too long", 10), shortened("short", 10)
    ('much too …', 'short')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def terminal_columns() -> int | None:
    """Characters of the terminal's lines; None where the output goes elsewhere, as into a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
