"""The stage is cleared, however the start or the show ends."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from faultline.demo.narrator import Narrator
from faultline.demo.stage import STOP_SIGNALS, running_stack
from faultline.local.home import Endpoints
from faultline.local.stack import OnProgress

ENDPOINTS = Endpoints(
    kafka="127.0.0.1:1",
    database_url="postgresql://127.0.0.1:2/faultline",
    mlflow="http://127.0.0.1:3",
    predictor="http://127.0.0.1:4",
    gateway="http://127.0.0.1:5",
    trainer="http://127.0.0.1:6",
    recorder="http://127.0.0.1:7",
)


class FakeStack:
    """Runs two programs; interrupted at its start, it is half-stopped by a second Ctrl-C."""

    def __init__(self, *, is_interrupted: bool = False) -> None:
        self.endpoints = ENDPOINTS
        self.running: set[str] = set()
        self.ignored_while_stopping: set[signal.Signals] = set()
        self._is_interrupted = is_interrupted

    def start(self, on_progress: OnProgress | None = None) -> None:
        self.running = {"kafka", "postgres"}
        if self._is_interrupted:
            self.running.remove("kafka")
            raise KeyboardInterrupt

    def stop(self) -> int:
        self.ignored_while_stopping = {
            each for each in STOP_SIGNALS if signal.getsignal(each) is signal.SIG_IGN
        }
        self.running.clear()
        return 0


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in STOP_SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def show(stack: FakeStack, home: Path) -> Endpoints:
    narrator = Narrator(Console(file=io.StringIO()))
    with running_stack(home, narrator, lambda _home, _ports: stack) as endpoints:
        assert stack.running
        return endpoints


def test_a_stack_runs_for_the_show_and_is_stopped_after_it(tmp_path: Path) -> None:
    stack = FakeStack()
    assert show(stack, tmp_path) == ENDPOINTS
    assert not stack.running


def test_a_start_broken_off_while_it_cleared_away_is_cleared_away_to_the_end(
    tmp_path: Path,
) -> None:
    stack = FakeStack(is_interrupted=True)
    with pytest.raises(KeyboardInterrupt):
        show(stack, tmp_path)
    assert not stack.running


def test_nothing_interrupts_the_clearing_away_of_a_failed_start(tmp_path: Path) -> None:
    stack = FakeStack(is_interrupted=True)
    with pytest.raises(KeyboardInterrupt):
        show(stack, tmp_path)
    assert stack.ignored_while_stopping == set(STOP_SIGNALS)
