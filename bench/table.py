"""Prints a table as Markdown, so that it can be read in a terminal and pasted into a page."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Lay out a Markdown table: the first column to the left, the others to the right.

    Examples
    --------
    >>> print(table(["method", "F1"], [["T2|Q", "0.76"], ["a", "1"]]))
    | method |   F1 |
    |:-------|-----:|
    | T2\|Q  | 0.76 |
    | a      |    1 |
    """
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(aligned)} |"

    rule = "|".join(
        [":" + "-" * (widths[0] + 1), *("-" * (width + 1) + ":" for width in widths[1:])]
    )
    return "\n".join([line(cells[0]), f"|{rule}|", *(line(row) for row in cells[1:])])
