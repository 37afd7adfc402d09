"""The `faultline` command. Each subcommand is a module of its own, imported when it is used."""

from __future__ import annotations

import json
import sys
from typing import Annotated, NoReturn

import typer

from faultline.cli.lazy import LazyCommand, LazyGroup, extra_of
from faultline.errors import FaultlineError

COMMANDS: tuple[LazyCommand, ...] = (
    LazyCommand("up", "faultline.cli.stack:up", "Start everything on this machine."),
    LazyCommand("down", "faultline.cli.stack:down", "Stop everything that `up` has started."),
    LazyCommand("status", "faultline.cli.stack:status", "Show every component and its state."),
    LazyCommand("run", "faultline.cli.run:app", "Run one service alone, by its settings."),
    LazyCommand("demo", "faultline.cli.demo:demo", "See the whole of it work, and a report."),
    LazyCommand(
        "watch-host", "faultline.cli.watch_host:watch_host", "Stream this machine's own sensors."
    ),
    LazyCommand("simulate", "faultline.cli.simulate:simulate", "Stream a synthetic fleet."),
    LazyCommand("replay", "faultline.cli.replay:replay", "Send CSV or Parquet as readings."),
    LazyCommand("follow", "faultline.cli.follow:follow", "Show verdicts and alarms as they come."),
    LazyCommand("fit", "faultline.cli.fit:command", "Learn from CSV or Parquet; no server needed."),
    LazyCommand("score", "faultline.cli.score:score", "Score a file with such a model."),
    LazyCommand("explain", "faultline.cli.explain:explain", "Say why one of its rows is unusual."),
    LazyCommand("why", "faultline.cli.why:why", "Give a past verdict again, and say why it was."),
    LazyCommand("train", "faultline.cli.models:train", "Train a version of a machine type."),
    LazyCommand("models", "faultline.cli.versions:models", "Show the versions of every model."),
    LazyCommand("promote", "faultline.cli.models:promote", "Make a version the Production one."),
    LazyCommand(
        "rollback", "faultline.cli.versions:rollback", "Make an earlier version that one again."
    ),
    LazyCommand(
        "history", "faultline.cli.versions:history", "Show which version was live, when and why."
    ),
    LazyCommand(
        "reproduce", "faultline.cli.reproduce:reproduce", "Fit a version again, and compare."
    ),
    LazyCommand(
        "backtest", "faultline.cli.backtest:backtest", "Replay a version over stored history."
    ),
    LazyCommand("dlq", "faultline.cli.dlq:app", "Show, mend and replay what was refused."),
    LazyCommand(
        "migrate", "faultline.cli.admin:migrate", "Bring the database's tables up to date."
    ),
    LazyCommand("topics", "faultline.cli.admin:topics", "Create the topics that are missing."),
)


class _Commands(LazyGroup):
    """The subcommands of `faultline`."""

    lazy = {command.name: command for command in COMMANDS if command.name}  # noqa: RUF012


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Watches machines through their sensors and says which one fails, and why.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from faultline import __version__  # noqa: PLC0415 - read from the distribution's files

        typer.echo(f"faultline {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Watches machines through their sensors and says which one fails, and why."""


def main() -> None:
    """Run the command line.

    What Faultline can name is one plain line on stderr and status 1, and with ``--json`` also an
    object with an ``error`` on stdout; only a bug has a traceback.
    """
    try:
        app()
    except FaultlineError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        extra = extra_of(error)
        if extra is None:
            raise
        _fail(
            f"this command needs {error.name}, which is not installed: install faultline[{extra}]"
        )


def _fail(why: str) -> NoReturn:
    typer.echo(f"faultline: {why}", err=True)
    if "--json" in sys.argv[1:]:
        typer.echo(json.dumps({"error": why}))
    sys.exit(1)
