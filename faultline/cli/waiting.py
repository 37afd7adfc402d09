"""Saying what a command waits for, where it would be silent for a minute."""

from __future__ import annotations

import time
from collections.abc import Callable

import typer


class Waiting:
    """Waits between two attempts; the first wait is told on stderr.

    Parameters
    ----------
    address
        What is waited for.
    sleep
        Waits so many seconds.
    """

    def __init__(self, address: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._address = address
        self._sleep = sleep
        # The first is told when it comes to one.
        self._waits = 0

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._waits += 1
        if self._waits == 1:
            typer.echo(f"waiting for {self._address} ...", err=True)
        self._sleep(seconds)

    def over(self) -> None:
        """Take note that it has answered; one wait that is answered at once is not told again."""
        self._waits = -1
