"""Each run's seed and figures, said at the end of the session whether it passed or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_TOLD = "history"


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say something at the end of the session; with several processes, too."""
    return lambda text: record_property(_TOLD, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
    ]
    told = [text for one in reports for name, text in one.user_properties if name == _TOLD]
    if told:
        terminalreporter.section("history checker")
        for text in told:
            terminalreporter.write_line(str(text))
