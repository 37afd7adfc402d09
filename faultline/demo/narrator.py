"""What the demonstration says while it runs: a line per step with its time, alarms as they appear.

It knows the terminal, and nothing of how anything is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from faultline.alarms import AlarmEvent, AlarmEventKind
from faultline.demo.report import Step

# An open alarm whose peak grows is published again and again; a person has seen it once.
_TOLD = frozenset({AlarmEventKind.OPENED, AlarmEventKind.CLOSED})


class Narrator:
    """Prints with the time since the start; may be shared between threads."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self._lock = threading.Lock()
        self._steps: list[Step] = []

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that have ended, in the order they began."""
        with self._lock:
            return tuple(sorted(self._steps, key=lambda step: step.started_s))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tell that a step begins, and how long it took."""
        started_s = self.elapsed_s
        self._print(f"[bold]{escape(name)}[/bold]")
        yield
        took_s = self.elapsed_s - started_s
        with self._lock:
            self._steps.append(
                Step(name=name, started_s=round(started_s, 2), took_s=round(took_s, 2))
            )
        self._print(f"  [dim]took {took_s:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """Print a line of the step that is under way."""
        self._print(f"  {escape(text)}")

    def alarm(self, event: AlarmEvent) -> None:
        """Print an alarm that has opened or closed."""
        if event.kind in _TOLD:
            colour = "red" if event.kind is AlarmEventKind.OPENED else "green"
            self._print(f"  [{colour}]{escape(alarm_sentence(event))}[/{colour}]")

    def _print(self, markup: str) -> None:
        with self._lock:
            self._console.print(f"[dim]{self.elapsed_s:6.1f} s[/dim] {markup}", soft_wrap=True)


def alarm_sentence(event: AlarmEvent) -> str:
    """Put an alarm into one line: when by the machine's time, how far, which machine and why."""
    alarm = event.alarm
    if event.kind is AlarmEventKind.CLOSED:
        return (
            f"{alarm.machine_id} is well again at {_clock(alarm.updated_at_ms)}: "
            f"{alarm.bad_readings} bad readings, highest score {alarm.peak_score:.2f}"
        )
    return (
        f"ALARM at {_clock(alarm.opened_at_ms)}, score {alarm.peak_score:.2f}: {alarm.why} "
        f"[version {alarm.model_version}]"
    )


def _clock(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1_000, UTC).strftime("%H:%M:%S")
