"""What `faultline fit`, `score` and `explain` share: their options, and how a model is found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from typer.core import TyperCommand, TyperOption

from faultline.cli.registry import open_registry
from faultline.cli.terminal import escaped_json

if TYPE_CHECKING:
    from faultline.offline.models import Loaded

MACHINE = "machine"
"""Whose rows they are in files that don't say: a model and the file it scores are of the same."""


class TimestampUnit(StrEnum):
    """What a number in the timestamp column counts, since 1970."""

    AUTO = "auto"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


_TIMESTAMP_COLUMN = (
    "Holds the time: RFC 3339 such as 2026-11-21T08:00:00Z (UTC if it names no zone), or a number "
    "since 1970, or since a start, such as the row's."
)
TimestampColumnOption = Annotated[str, typer.Option(metavar="COLUMN", help=_TIMESTAMP_COLUMN)]
ScoredTimestampColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help=_TIMESTAMP_COLUMN,
        show_default="the one that the model was fitted with",
    ),
]
TimestampUnitOption = Annotated[
    TimestampUnit,
    typer.Option(
        metavar="UNIT",
        help="What a number there counts: s, ms, us or ns. auto: what makes the file's first one "
        "of the years 2001 to 2100; of numbers too small for a date, seconds where they are less "
        "than 100 apart, else milliseconds.",
    ),
]
MachineColumnOption = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Names the machine of each row, in files of several machines."
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="DIR|REFERENCE",
        help="The folder that `faultline fit` wrote, or a registered version: "
        "models:/faultline-pump@production or models:/faultline-pump/3.",
    ),
]
RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        show_default="MLFLOW_TRACKING_URI, else that of the running stack",
        help="The MLflow server of a registered version.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object in place of the text.")]


class ManyValues(TyperCommand):
    """A command without positional arguments, whose repeatable options also take several values.

    ``--input a.csv b.csv`` is ``--input a.csv --input b.csv``, so that a shell's ``*.csv`` works.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat an option's name before each of its values."""
        repeatable = {
            name
            for option in self.params
            if isinstance(option, TyperOption) and option.multiple
            for name in option.opts
        }
        return super().parse_args(ctx, spread(args, repeatable))


def spread(args: Sequence[str], repeatable: set[str]) -> list[str]:
    """Write ``--x a b`` as ``--x a --x b`` for the options that may be repeated.

    >>> spread(["--x", "a", "b", "--y", "c"], {"--x"})
    ['--x', 'a', '--x', 'b', '--y', 'c']
    """
    written: list[str] = []
    option = ""
    values = 0
    for arg in args:
        if arg.startswith("-") and len(arg) > 1:
            option, values = arg, 0
        else:
            values += 1
            if values > 1 and option in repeatable:
                written.append(option)
        written.append(arg)
    return written


def command(name: str, function: Any) -> typer.Typer:
    """Make a command with `ManyValues`, for the table of commands."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name, cls=ManyValues)(function)
    return alone


def load(model: str, registry: str | None, home: Path | None) -> Loaded:
    """Find a model by its folder or its reference; raises as `faultline.offline.models` does."""
    from faultline.offline.models import is_reference, load_folder, pull  # noqa: PLC0415

    if not is_reference(model):
        return load_folder(Path(model))
    with open_registry(registry, home) as opened:
        return pull(model, opened)


def names(given: Sequence[str] | None) -> tuple[str, ...]:
    """Names that were given one by one, or several separated by commas."""
    return tuple(name for several in given or () for name in several.split(",") if name)


def print_json(document: object) -> None:
    """Print as JSON that a person can read too; what is no number becomes null."""
    text = msgspec.json.format(msgspec.json.encode(document)).decode()
    sys.stdout.write(escaped_json(text) + "\n")
