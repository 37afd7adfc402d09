"""`faultline up`, `down` and `status`: the one-machine stack at the terminal."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

from faultline.errors import Conflict

if TYPE_CHECKING:
    from faultline.local.home import Home
    from faultline.local.journal import Event
    from faultline.local.stack import ComponentStatus, Progress, Stack

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="FAULTLINE_HOME",
        show_default=".faultline",
        help="Folder that holds all of the stack: data, logs, configuration, state.",
    ),
]
_ELSEWHERE = "; name the folder of another with --home or FAULTLINE_HOME"
_POLL_S = 1.0
_EXIT_UNHEALTHY = 1
_EXIT_NOT_RUNNING = 3
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(  # noqa: PLR0917 - Typer reads options from the signature
    home: HomeOption = None,
    port_base: Annotated[
        int | None,
        typer.Option(
            help="First of eight ports in a row, in this order: predictor, gateway, trainer, "
            "recorder, MLflow, Kafka, Kafka's controller, PostgreSQL. Default: 8000 to 8003, 5001, "
            "9092, 9093 and 15432."
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is healthy; it runs on.")
    ] = False,
    kafka: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Use this broker instead of an embedded one."),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Use this PostgreSQL database for Faultline instead of an embedded server. "
            "An embedded MLflow then keeps its records in SQLite under the home.",
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use this tracking server instead of an embedded one."),
    ] = None,
) -> None:
    """Start Kafka, PostgreSQL, MLflow and the services, and stay until Ctrl-C.

    Only Python is needed. The first start fetches Apache Kafka from Maven Central.
    """
    from faultline.cli.settings_check import check_settings  # noqa: PLC0415 - a quick --help
    from faultline.local.home import External  # noqa: PLC0415 - needs the extra `local`
    from faultline.local.ports import Ports  # noqa: PLC0415
    from faultline.local.stack import Stack  # noqa: PLC0415

    stack = Stack(
        home or Path(".faultline"),
        Ports() if port_base is None else Ports.from_base(port_base),
        external=External(kafka=kafka, postgres=postgres, mlflow=mlflow),
    )
    if stack.is_running():
        running = Stack.attach(stack.home)
        # What was not asked for is as it is; what was asked for must not be ignored.
        if (port_base is not None and stack.ports != running.ports) or (
            any(
                getattr(stack.external, name) not in (None, getattr(running.external, name))
                for name in ("kafka", "postgres", "mlflow")
            )
        ):
            raise Conflict(
                f"a stack runs in {stack.home.path} already, on other ports or servers than these: "
                f"`{in_home('down', stack.home)}` first, or choose another --home"
            )
        _already_up(running)
        return
    check_settings(stack.home, stack.ports)
    console = Console(highlight=False)
    # Stopping in good order is the answer to all of them, also while starting.
    for each in _STOP_SIGNALS:
        signal.signal(each, signal.default_int_handler)
    began_s = time.monotonic()
    try:
        _start(stack, console)
        took_s = time.monotonic() - began_s
        console.print(f"up in {took_s:.1f} s; logs in {stack.home.logs}", soft_wrap=True)
        if detach:
            console.print(f"runs on; `{in_home('down', stack.home)}` stops it", soft_wrap=True)
            return
        console.print("Ctrl-C stops it")
        _watch(stack, console)
    except KeyboardInterrupt:
        for each in _STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        console.print("stopping …")
        stack.stop()
        console.print("stopped")


def down(home: HomeOption = None) -> None:
    """Stop everything. Does nothing when nothing runs; finds what a killed supervisor has left."""
    from faultline.local.stack import Stack  # noqa: PLC0415 - needs the extra `local`

    place = _home(home)
    running = place.read_stack() is not None
    stack = Stack.attach(place) if running else Stack(place)
    left = stack.stop()
    if left:
        typer.echo(f"stopped {left} processes that had lost their supervisor ({place.path})")
    elif running:
        typer.echo(f"stopped {place.path}")
    else:
        typer.echo(f"nothing runs in {place.path}{_ELSEWHERE}")


def status(
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show every component. Exit status: 0 all healthy, 1 some not, 3 no stack is running."""
    from faultline.local.membership import members  # noqa: PLC0415
    from faultline.local.stack import Stack  # noqa: PLC0415 - needs the extra `local`

    place = _home(home)
    components: list[ComponentStatus] = []
    left = 0
    if place.read_stack() is not None and (stack := Stack.attach(place)).is_running():
        components = stack.status()
    else:
        left = len(members(place))
    healthy = bool(components) and all(each.state == "healthy" for each in components)
    if as_json:
        document: dict[str, Any] = {
            "home": str(place.path),
            "running": bool(components),
            "healthy": healthy,
            "processes_without_supervisor": left,
            "components": components,
        }
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
    elif components:
        _show(components)
    elif left:
        typer.echo(
            f"the supervisor of {place.path} is gone and {left} of its processes are left: "
            f"`{in_home('down', place)}` stops them"
        )
    else:
        typer.echo(
            f"no stack runs in {place.path}; `{in_home('up', place)}` starts one{_ELSEWHERE}"
        )
    if not components and not left:
        raise typer.Exit(_EXIT_NOT_RUNNING)
    if not healthy:
        raise typer.Exit(_EXIT_UNHEALTHY)


def in_home(command: str, home: Home) -> str:
    """The command for a stack, to be typed in the present folder."""
    from faultline.local.home import DEFAULT_HOME  # noqa: PLC0415 - needs the extra `local`

    if home.path == DEFAULT_HOME.resolve():
        return f"faultline {command}"
    return f"faultline {command} --home {shlex.quote(str(home.path))}"


def _home(path: Path | None) -> Home:
    from faultline.local.home import Home  # noqa: PLC0415 - needs the extra `local`

    return Home.at(path)


def _already_up(running: Stack) -> None:
    typer.echo(f"already up in {running.home.path}")
    components = running.status()
    _show(components)
    if any(each.state != "healthy" for each in components):
        raise typer.Exit(_EXIT_UNHEALTHY)


def _start(stack: Stack, console: Console) -> None:
    """Start, with a line for each component as it becomes healthy."""
    starting: list[str] = []
    spinner = console.status("starting") if console.is_terminal else nullcontext()

    def report(progress: Progress) -> None:
        if progress.state == "starting":
            starting.append(progress.component)
        else:
            starting.remove(progress.component)
            console.print(
                f"{progress.component:<10}{progress.state:<9}{progress.took_s:6.1f} s  "
                f"{progress.address}",
                soft_wrap=True,
                markup=False,
            )
        if not isinstance(spinner, nullcontext):
            spinner.update(f"starting {', '.join(starting)}")

    with spinner:
        stack.start(report)


def _watch(stack: Stack, console: Console) -> None:
    """Say what happens to the components until someone stops them."""
    told_until_s = max((event.at_s for event in stack.events()), default=0.0)
    dead: dict[str, str] = {}
    while True:
        time.sleep(_POLL_S)
        if not stack.is_running():
            _supervisor_gone(stack, console)
            return
        fresh = [event for event in stack.events() if event.at_s > told_until_s]
        told_until_s = max([told_until_s, *(event.at_s for event in fresh)])
        for line in sentences(fresh, dead):
            console.print(line, soft_wrap=True, markup=False)


def sentences(events: list[Event], dead: dict[str, str]) -> list[str]:
    """Put events into words; `dead` keeps who has died and how, until it is back."""
    lines: list[str] = []
    for event in events:
        if event.kind == "died":
            dead[event.component] = event.how
        elif event.kind == "gave_up":
            how = dead.pop(event.component, "")
            lines.append(f"{event.component} died ({how}) too often and is not started again")
        elif event.kind == "started" and event.component in dead:
            how = dead.pop(event.component)
            lines.append(f"{event.component} died ({how}), restarted, pid {event.pid}")
    return lines


def _supervisor_gone(stack: Stack, console: Console) -> None:
    if stack.home.read_stack() is None:
        console.print("stopped by another command")
        return
    left = stack.stop()
    console.print(f"the supervisor is gone; stopped the {left} processes it had left")
    raise typer.Exit(_EXIT_UNHEALTHY)


def _show(components: list[ComponentStatus]) -> None:
    rows = [("component", "state", "pid", "uptime", "restarts", "address")]
    rows += [
        (
            each.name,
            f"external, {each.state}" if each.external else each.state,
            str(each.pid or "-"),
            "-" if each.uptime_s is None else _duration(each.uptime_s),
            "-" if each.external else str(each.restarts),
            each.address,
        )
        for each in components
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _duration(3725.4)
    '1:02:05'
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
