"""A whole demonstration, from nothing to the report and back to nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console

from faultline import __version__
from faultline.adapters.clock import SystemClock
from faultline.demo import report as reports
from faultline.demo.demonstration import Demonstration
from faultline.demo.expectations import judge_expectations
from faultline.demo.feed import Feed, HoldingSink
from faultline.demo.host_fault import HostFault
from faultline.demo.narrator import Narrator
from faultline.demo.report import Observed, Report
from faultline.demo.scenario import Scenario
from faultline.demo.stage import connected, cores, home_folder, running_stack
from faultline.demo.stress import Stress
from faultline.events import model_name
from faultline.ports.clock import Clock
from faultline.readings import format_timestamp
from faultline.sources.host import HOST_TYPE, HostSource

Mode = Literal["plant", "data"]

# Often enough to have seen this machine long enough when its model is to be trained.
_HOST_INTERVAL_S = 0.1
_STRESS_S = 10.0
# After both versions are in; by then that of this machine has judged for a while.
_STRESS_AFTER_S = 2.0


def perform(
    mode: Mode,
    scenario: Scenario,
    *,
    report_file: Path,
    home: Path | None,
    keep: bool,
    console: Console,
) -> Report:
    """Start everything, go through the scenario, stop everything, judge and write the report.

    Nothing is left running, whatever happens in between.

    Parameters
    ----------
    mode
        What the scenario is made of, for the report.
    report_file
        Replaced.
    home, keep
        As in `faultline.demo.stage.home_folder`.

    Raises
    ------
    FaultlineError
        When a step cannot be done at all. What merely does not hold is in the report.
    """
    clock: Clock = SystemClock()
    began_ms = clock.now_ms()
    narrator = Narrator(console)
    with home_folder(home, keep, narrator) as folder:
        observed = _observed(scenario, folder, narrator, clock)
    expectations = judge_expectations(
        observed, model_name(scenario.machine_type), model_name(HOST_TYPE)
    )
    report = Report(
        faultline_version=__version__,
        mode=mode,
        started_at=format_timestamp(began_ms),
        took_s=round(narrator.elapsed_s, 1),
        cores=cores(),
        holds=all(expectation.holds for expectation in expectations),
        expectations=expectations,
        steps=narrator.steps,
        observed=observed,
    )
    reports.write(report, report_file)
    return report


def _observed(scenario: Scenario, home: Path, narrator: Narrator, clock: Clock) -> Observed:
    source = HostSource(clock, interval_s=_HOST_INTERVAL_S)
    holding = HoldingSink()
    host = Feed("host", ([reading] for reading in source.readings()), holding)
    with ExitStack() as ending:
        # Watched from the first second; its readings wait until there is a broker.
        host.start()
        ending.callback(host.abandon)
        endpoints = ending.enter_context(running_stack(home, narrator))
        parts = ending.enter_context(connected(endpoints, narrator))
        ending.callback(host.stop)
        holding.open(parts.topic)
        fault = HostFault(
            source.machine_id,
            Stress.of_machine(_STRESS_S, cores(), psutil.virtual_memory().available),
            _STRESS_AFTER_S,
            clock,
        )
        demonstration = Demonstration(
            scenario, parts, host=host, host_id=source.machine_id, narrator=narrator, clock=clock
        )
        return demonstration.run(fault)
