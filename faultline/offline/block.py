"""One thing that is said of a fit, for a person and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Block:
    """One thing that is said of a fit.

    Attributes
    ----------
    title
        Before the first line.
    lines
        For a person.
    key, content
        The same for ``--json``: JSON values.
    """

    title: str
    lines: Sequence[str]
    key: str
    content: Any


def as_text(found: Sequence[Block]) -> str:
    """The blocks as lines, the titles in a column of their own."""
    width = max(len(block.title) for block in found) + 2
    lines = []
    for block in found:
        for index, line in enumerate(block.lines):
            lines.append(f"{'' if index else block.title:<{width}}{line}")
    return "\n".join(lines)
