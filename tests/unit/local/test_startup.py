"""What is held against a component that starts, and what is not."""

from __future__ import annotations

import time
from pathlib import Path

from faultline.local.component import Component
from faultline.local.home import Home
from faultline.local.startup import Progress, Startup
from faultline.local.supervision import Supervisor

TIMEOUT_S = 0.3


def test_a_download_is_not_held_against_the_time_to_become_healthy(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    looks = iter([False, True])

    def download() -> None:
        ready_s = time.monotonic() + 2 * TIMEOUT_S
        while time.monotonic() < ready_s:
            pass

    part = Component(
        name="server",
        needs=(),
        address="nowhere",
        ready=lambda: next(looks),
        prepare=download,
        start_timeout_s=TIMEOUT_S,
    )
    steps: list[Progress] = []
    Startup(home, Supervisor(home), {}).run([part], steps.append)
    assert [step.state for step in steps] == ["starting", "healthy"]
