"""A bar on the terminal while much is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from faultline.readings import Reading

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def counting_bar(doing: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show on stderr, where that is a terminal, how much of how much is done.

    Yields
    ------
    callable
        To be called with how many are done, and of how many: None while that is not known.
    """
    with _bar(quiet=False) as progress:
        task = progress.add_task(doing, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def progress_bar(
    doing: str, total: int | None, quiet: bool, done: int = 0
) -> Iterator[Callable[[Sequence[Reading]], None]]:
    """Show a bar on stderr while readings go out, where that is a terminal.

    Parameters
    ----------
    total
        Readings expected; None for a stream without an end.
    done
        How many of them had gone before.

    Yields
    ------
    callable
        To be called with every batch.
    """
    with _bar(quiet) as progress:
        task = progress.add_task(doing, total=total, completed=done)
        yield lambda batch: progress.update(task, advance=len(batch))


def _bar(quiet: bool) -> Progress:
    from rich.console import Console  # noqa: PLC0415 - a quick --help
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
