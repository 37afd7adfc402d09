"""What a training takes of the machine: processor time and memory of this process meanwhile."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class Usage(NamedTuple):
    """What was taken.

    Attributes
    ----------
    duration_s
        By the clock on the wall.
    cpu_s
        Of all threads of the process, so of whatever else it did meanwhile too.
    peak_memory_bytes
        Resident, of the whole process, at its highest meanwhile; None where the system does not
        tell (it is Linux that does).
    """

    duration_s: float
    cpu_s: float
    peak_memory_bytes: int | None


class Meter:
    """Measures from when it is made. One at a time in a process: the peak is the process's own."""

    def __init__(self) -> None:
        self._peak_is_ours = False
        with suppress(OSError):
            _CLEAR.write_text(_RESET_PEAK)
            self._peak_is_ours = True
        self._began_s = time.perf_counter()
        self._cpu_s = time.process_time()

    def read(self) -> Usage:
        """What was taken up to now."""
        return Usage(
            time.perf_counter() - self._began_s,
            time.process_time() - self._cpu_s,
            _peak_bytes() if self._peak_is_ours else None,
        )


def _peak_bytes() -> int | None:
    with suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        return None if found is None else 1024 * int(found[1])
    return None
