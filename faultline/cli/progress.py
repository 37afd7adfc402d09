"""A bar on the terminal while readings go out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from faultline.readings import Reading


@contextmanager
def progress_bar(
    doing: str, total: int | None, quiet: bool
) -> Iterator[Callable[[Sequence[Reading]], None]]:
    """Show a bar on stderr while readings go out, where that is a terminal.

    Parameters
    ----------
    total
        Readings expected; None for a stream without an end.

    Yields
    ------
    callable
        To be called with every batch.
    """
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
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda batch: progress.update(task, advance=len(batch))
