"""What happened to the programs of a stack, read from supervisord's own log.

The log is the one record that survives whoever was watching, and the only place where supervisord
tells the exit status of a program that it has already started again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) [A-Z]+ "
    r"(?:spawned: '(?P<spawned>[^']+)' with pid (?P<pid>\d+)"
    r"|exited: (?P<exited>\S+) \((?P<how>.+); (?:not )?expected\)"
    r"|stopped: (?P<stopped>\S+) \((?P<stopped_how>.+)\)"
    r"|gave up: (?P<gave_up>\S+) .*)"
)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a program's life.

    Attributes
    ----------
    at_s
        Seconds since the epoch.
    component
        The program's name.
    kind
        `died` is an end that nobody asked for; `stopped` one that somebody did; `gave_up` means
        that it will not be started again.
    pid
        Of a `started` program, else 0.
    how
        Of an end: `exit 1`, `SIGKILL`; else empty.
    """

    at_s: float
    component: str
    kind: Literal["started", "died", "stopped", "gave_up"]
    pid: int = 0
    how: str = ""


def parse(lines: Iterable[str]) -> list[Event]:
    """Events of a supervisord log, in order; lines about anything else are passed over.

    Examples
    --------
    >>> line = "2026-11-21 08:00:00,250 WARN exited: kafka (exit status 1; not expected)"
    >>> [event] = parse([line])
    >>> event.component, event.kind, event.how
    ('kafka', 'died', 'exit 1')
    """
    events: list[Event] = []
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        at_s = datetime.strptime(match["at"], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()
        if match["spawned"]:
            events.append(Event(at_s, match["spawned"], "started", pid=int(match["pid"])))
        elif match["exited"]:
            events.append(Event(at_s, match["exited"], "died", how=_short(match["how"])))
        elif match["stopped"]:
            events.append(
                Event(at_s, match["stopped"], "stopped", how=_short(match["stopped_how"]))
            )
        else:
            events.append(Event(at_s, match["gave_up"], "gave_up"))
    return events


def read(log: Path) -> list[Event]:
    """Events of a log file; none while it does not exist."""
    try:
        return parse(log.read_text("utf-8", errors="replace").splitlines())
    except FileNotFoundError:
        return []


def restarts(events: Sequence[Event]) -> Counter[str]:
    """How often each program was started again after an end that nobody asked for."""
    counts: Counter[str] = Counter()
    dead: set[str] = set()
    for event in events:
        if event.kind == "died":
            dead.add(event.component)
        elif event.kind == "started" and event.component in dead:
            dead.discard(event.component)
            counts[event.component] += 1
    return counts


def _short(how: str) -> str:
    return how.replace("exit status", "exit").removeprefix("terminated by ")
