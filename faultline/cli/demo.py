"""`faultline demo`: the whole of Faultline at work, measured against what it promises."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer


def demo(  # noqa: PLR0917 - Typer reads options from the signature
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Play CSV files instead of the simulated plant: healthy.csv is the history, every "
            "other file a machine; a column `fault`, if there is one, is the truth.",
        ),
    ] = None,
    machine_type: Annotated[
        str | None,
        typer.Option(show_default="the folder's name", help="Type of the machines in --data."),
    ] = None,
    expect_detected: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAULT",
            help="Fail when this fault in --data is missed; repeat for several. The others are "
            "reported only.",
        ),
    ] = None,
    report: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the report goes, as JSON.")
    ] = Path("demo-report.json"),
    home: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default="a temporary one",
            help="Folder for the demonstration's own stack; must be empty or not there.",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep that folder.")] = False,
) -> None:
    """See the whole of it work on this machine's own sensors and a simulated plant.

    Starts everything on free ports, beside a stack that may be running, and leaves nothing running.
    Exit status: 0 when every expectation holds, 1 when one does not, 130 after Ctrl-C.
    """
    from rich.console import Console  # noqa: PLC0415 - a quick --help

    from faultline.cli.settings_check import check_settings  # noqa: PLC0415
    from faultline.demo.performance import perform  # noqa: PLC0415 - needs the extra `local`
    from faultline.demo.recordings import recorded_scenario  # noqa: PLC0415
    from faultline.demo.scenario import plant_scenario  # noqa: PLC0415
    from faultline.demo.stage import STOP_SIGNALS  # noqa: PLC0415
    from faultline.demo.terminal import show  # noqa: PLC0415
    from faultline.local.home import Home  # noqa: PLC0415
    from faultline.local.ports import Ports  # noqa: PLC0415

    if data is None and (machine_type is not None or expect_detected):
        raise typer.BadParameter("--machine-type and --expect-detected go with --data")
    console = Console()
    scenario = (
        plant_scenario(time.time_ns() // 1_000_000)
        if data is None
        else recorded_scenario(data, machine_type, expect_detected or ())
    )
    check_settings(Home.at(home), Ports())
    # Which version comes in, and when, is part of the show; drift would bring in others.
    os.environ.setdefault("FAULTLINE_TRAINER_ON_DRIFT", "false")
    # Stopping in good order is the answer to all of them.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.default_int_handler)
    try:
        outcome = perform(
            "plant" if data is None else "data",
            scenario,
            report_file=report,
            home=home,
            keep=keep,
            console=console,
        )
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        sys.exit(130)
    show(outcome, console)
    console.print(f"\n{report} has it all; took {outcome.took_s:.0f} s", highlight=False)
    if not outcome.holds:
        raise typer.Exit(1)
