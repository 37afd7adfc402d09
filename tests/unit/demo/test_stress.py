"""The child that burdens this machine surely ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

from faultline.demo.stress import LARGEST_BYTES, LONGEST_S, Stress, StressChild

DEADLINE_S = 60.0


def test_the_child_ends_by_itself_at_its_deadline() -> None:
    with StressChild(Stress(seconds=0.2, cores=1, memory_bytes=1 << 20)) as child:
        assert child.wait(DEADLINE_S) == 0


def test_leaving_the_context_ends_a_child_that_has_time_left() -> None:
    with StressChild(Stress(seconds=LONGEST_S, cores=1, memory_bytes=0)) as child:
        assert child.running
    assert not child.running


def test_the_child_ends_when_its_parent_is_killed() -> None:
    parent_code = (
        "import sys, time\n"
        "from faultline.demo.stress import Stress, StressChild\n"
        "with StressChild(Stress(seconds=60, cores=1, memory_bytes=0)) as child:\n"
        "    print(child.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
        watch = os.pidfd_open(child_pid)
        try:
            parent.kill()
            # A pidfd is ready to read once its process has ended.
            ready, _, _ = select.select([watch], [], [], DEADLINE_S)
        finally:
            os.close(watch)
    assert ready


@pytest.mark.parametrize(
    ("seconds", "cores", "memory_bytes"),
    [(0, 1, 0), (LONGEST_S + 1, 1, 0), (1, 0, 0), (1, 1, LARGEST_BYTES + 1), (1, 1, -1)],
)
def test_a_burden_beyond_the_bounds_is_refused(
    seconds: float, cores: int, memory_bytes: int
) -> None:
    with pytest.raises(ValueError, match="must be"):
        Stress(seconds, cores, memory_bytes)


def test_a_machine_with_much_memory_is_burdened_up_to_the_limit() -> None:
    stress = Stress.of_machine(10, cores=2, available_bytes=1 << 40)
    assert stress.memory_bytes == LARGEST_BYTES


def test_a_small_machine_keeps_three_quarters_of_its_free_memory() -> None:
    stress = Stress.of_machine(10, cores=2, available_bytes=1 << 20)
    assert stress.memory_bytes == 1 << 18
