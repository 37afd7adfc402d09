"""A real fault on this machine, bounded: busy loops on the cores and a memory hog in a child.

The child ends by itself at its deadline, and at once when its parent dies or closes its input. It
knows nothing of Faultline.
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType

LONGEST_S = 60.0
LARGEST_BYTES = 2 << 30
# A hog that takes more of what is free could make the system end processes that are not ours.
_SHARE_OF_AVAILABLE = 0.25
_STOP_WAIT_S = 5.0
_LOOK_EVERY_BYTES = 1 << 26
# Beyond the deadline the kernel ends the child even if its own code is stuck.
_BACKSTOP_S = 5


@dataclass(frozen=True)
class Stress:
    """How hard and how long.

    Attributes
    ----------
    seconds
        At most `LONGEST_S`.
    cores
        Busy loops, one each.
    memory_bytes
        Allocated and written to, at most `LARGEST_BYTES`.
    """

    seconds: float
    cores: int
    memory_bytes: int

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= LONGEST_S:
            raise ValueError(f"seconds is {self.seconds}; it must be above 0, at most {LONGEST_S}")
        if self.cores < 1:
            raise ValueError(f"cores is {self.cores}; it must be at least 1")
        if not 0 <= self.memory_bytes <= LARGEST_BYTES:
            raise ValueError(
                f"memory_bytes is {self.memory_bytes}; it must be 0 to {LARGEST_BYTES}"
            )

    @classmethod
    def of_machine(cls, seconds: float, cores: int, available_bytes: int) -> Stress:
        """All the cores, and a quarter of the memory that is free, within the limits."""
        memory_bytes = min(int(available_bytes * _SHARE_OF_AVAILABLE), LARGEST_BYTES)
        return cls(seconds=min(seconds, LONGEST_S), cores=cores, memory_bytes=memory_bytes)


class StressChild:
    """The child process; a context manager that leaves none behind.

    Examples
    --------
    >>> with StressChild(Stress(seconds=0.1, cores=1, memory_bytes=0)) as child:
    ...     child.wait(timeout_s=30)
    0
    """

    def __init__(self, stress: Stress) -> None:
        self._stress = stress
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> StressChild:
        command = [
            sys.executable,
            "-m",
            "faultline.demo.stress",
            f"--seconds={self._stress.seconds}",
            f"--cores={self._stress.cores}",
            f"--memory-bytes={self._stress.memory_bytes}",
        ]
        # Ctrl-C goes to the whole group: the parent alone decides, and it closes the pipe.
        self._process = subprocess.Popen(  # noqa: S603 - our own module, numbers as arguments
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._started.pid

    @property
    def running(self) -> bool:
        """Whether the child still runs."""
        return self._started.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Exit status of the child; raises `subprocess.TimeoutExpired`."""
        return self._started.wait(timeout_s)

    def stop(self) -> None:
        """End the child: close its input, and kill it when that does not help."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the stress child has not been started; use it as a context manager")
        return self._process


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the child: burn, then end. Standard input is the parent's life line."""
    parser = argparse.ArgumentParser(prog="faultline.demo.stress")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    given = parser.parse_args(arguments)
    stress = Stress(given.seconds, given.cores, given.memory_bytes)
    _bound_by_the_kernel(stress)
    deadline_s = time.monotonic() + stress.seconds
    for _ in range(stress.cores):
        threading.Thread(target=_burn, daemon=True).start()
    with closing(mmap.mmap(-1, max(stress.memory_bytes, mmap.PAGESIZE))) as hog:
        # Only a page that is written to is really taken, and that takes a while.
        for start in range(0, stress.memory_bytes, mmap.PAGESIZE):
            hog[start] = 1
            if start % _LOOK_EVERY_BYTES == 0 and _is_over(deadline_s, wait=False):
                break
        _is_over(deadline_s, wait=True)
    # The burning threads never return; leaving without waiting for them is the point.
    os._exit(0)


def _is_over(deadline_s: float, *, wait: bool) -> bool:
    """Whether the parent is done, or dead, or time is up; `wait` until one of it is so."""
    left_s = max(0.0, deadline_s - time.monotonic())
    # Ready to read means closed: nothing is ever written.
    ready, _, _ = select.select([sys.stdin], [], [], left_s if wait else 0.0)
    return bool(ready) or time.monotonic() >= deadline_s


def _bound_by_the_kernel(stress: Stress) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, stress.seconds + _BACKSTOP_S)
    cpu_s = int((stress.seconds + _BACKSTOP_S) * stress.cores) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))


def _burn() -> None:
    """Keep a core busy: hashing a large buffer lets go of the interpreter's lock."""
    block = bytes(1 << 20)
    while True:
        hashlib.sha256(block).digest()


if __name__ == "__main__":
    sys.exit(main())
