"""Which processes belong to the stack of a home, and ending those that lost their supervisor.

Knows nothing of what they do; that they carry the mark is all that matters.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress

import psutil

from faultline.errors import FaultlineError
from faultline.local.home import Home

# Carried by every process of a stack, and so by their children: what finds and identifies them
# even when supervisord was killed and its pids are known to nobody.
MARK = "FAULTLINE_STACK_HOME"


class CannotEnd(FaultlineError):
    """A process of the stack outlives SIGKILL."""


def is_gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended; one that only waits to be reaped has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_gone(processes: Sequence[psutil.Process], deadline_s: float) -> list[psutil.Process]:
    """Wait for processes to end; returns those that still run at the deadline."""
    remaining = [process for process in processes if not is_gone(process)]
    step_s = 0.05
    waited_s = 0.0
    while remaining and waited_s < deadline_s:
        with suppress(psutil.TimeoutExpired):
            remaining[0].wait(step_s)
        waited_s += step_s
        remaining = [process for process in remaining if not is_gone(process)]
    return remaining


def members(home: Home) -> list[psutil.Process]:
    """Every process that belongs to the stack of this home, whoever its parent is now.

    The mark in a process's environment is its identity: a process id that was given to another
    process in the meantime does not carry it.
    """
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and process.environ().get(MARK) == str(home.path):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
            # Another user's, or just ended: in neither case a part of this stack.
            continue
    return [process for process in found if not is_gone(process)]


def end_members(home: Home, deadline_s: float = 30.0) -> int:
    """Stop whatever of a stack still runs without its supervisord, in good order if possible.

    supervisord itself goes first, so that it starts nothing again.

    Returns
    -------
    int
        How many processes were found.

    Raises
    ------
    CannotEnd
        Naming the processes that even SIGKILL did not end.
    """
    found = members(home)
    supervisors: list[psutil.Process] = []
    others: list[psutil.Process] = []
    for process in found:
        (supervisors if _is_supervisord(process) else others).append(process)
    for process in supervisors:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(supervisors, deadline_s)
    for process in others:
        with suppress(psutil.NoSuchProcess):
            # SIGTERM would make PostgreSQL wait for its clients to leave.
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    wait_gone(others, deadline_s)
    stubborn = members(home)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    remaining = wait_gone(stubborn, deadline_s)
    if remaining:
        raise CannotEnd(
            f"processes of {home.path} that cannot be ended: "
            + ", ".join(f"{process.pid} ({process.name()})" for process in remaining)
        )
    return len(found)


def _is_supervisord(process: psutil.Process) -> bool:
    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.NoSuchProcess:
        return False
