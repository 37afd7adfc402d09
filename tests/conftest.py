"""The real Kafka, PostgreSQL and MLflow of tests marked `real`, started once per session.

They start when the first test asks for them, on free ports, in a folder of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from faultline.local.home import Endpoints
from faultline.local.ports import Ports
from faultline.local.stack import Stack

# No test fails because the machine is busy.
hypothesis_settings.register_profile(
    "faultline", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("faultline")

PLATFORM = ("kafka", "postgres", "mlflow")
FIGURES = "figures"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The containers' tests take longest, and wait most of the time: they begin.
    items.sort(key=lambda item: item.get_closest_marker("compose") is None)


class ByModule(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """In several processes a module's tests share one, and so do all of the containers' tests."""

    def _split_scope(self, nodeid: str) -> str:
        return "compose" if nodeid.startswith("tests/compose/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    return ByModule(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Here, as of several processes the one that reports loads no other conftest.
    told = [
        str(text)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
        for name, text in report.user_properties
        if name == FIGURES
    ]
    if told:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(told))


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say something at the end of the session, whether the test passes or not."""
    return partial(record_property, FIGURES)


@contextmanager
def new_home() -> Iterator[Path]:
    # Not in pytest's own folder: every session of pytest closes that to other accounts again, and
    # as root PostgreSQL runs under one of those.
    with TemporaryDirectory(prefix="faultline-test-") as folder:
        yield Path(folder) / "home"


@pytest.fixture
def stack_home() -> Iterator[Path]:
    """A home for a stack of the test's own."""
    with new_home() as home:
        yield home


@pytest.fixture(scope="module")
def module_home() -> Iterator[Path]:
    """A home for a stack that a module's tests share."""
    with new_home() as home:
        yield home


@contextmanager
def _new_platform() -> Iterator[Stack]:
    with new_home() as home, Stack(home, Ports.free(), PLATFORM) as stack:
        yield stack


@pytest.fixture(scope="session")
def new_platform() -> Callable[[], AbstractContextManager[Stack]]:
    """Starts another one."""
    return _new_platform


@pytest.fixture(scope="session")
def platform_stack() -> Iterator[Stack]:
    """The stack itself, for tests that restart a part of it. They leave it healthy."""
    with _new_platform() as stack:
        yield stack


@pytest.fixture(scope="session")
def platform(platform_stack: Stack) -> Endpoints:
    """Addresses of the session's Kafka, PostgreSQL (migrations not applied) and MLflow."""
    return platform_stack.endpoints
