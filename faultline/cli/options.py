"""Options that the commands which send readings share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from faultline.errors import InvalidReading
from faultline.readings import parse_timestamp

Value = TypeVar("Value")

TIME_NOTATION = "RFC 3339 (UTC without a zone) or epoch milliseconds"


class Way(StrEnum):
    """How readings get in."""

    TOPIC = "topic"
    HTTP = "http"


ToOption = Annotated[
    Way, typer.Option("--to", help="Straight to Kafka's topic, or over HTTP to the gateway.")
]
KafkaOption = Annotated[
    str | None,
    typer.Option(
        "--kafka", metavar="HOST:PORT", show_default="that of the running stack", help="The broker."
    ),
]
GatewayOption = Annotated[
    str | None,
    typer.Option(
        "--gateway", metavar="URL", show_default="that of the running stack", help="The gateway."
    ),
]
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="FAULTLINE_HOME",
        show_default=".faultline",
        help="Folder of the running stack.",
    ),
]
LabelsOption = Annotated[
    bool | None,
    typer.Option(
        "--labels/--no-labels",
        show_default="with --to topic",
        help="Send known faults to the topic sensor.labels.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Only one JSON object, at the end.")]


def checked(parse: Callable[[str], Value], text: str, option: str) -> Value:
    """Parse an option's value; what is wrong with it becomes the command's usage error."""
    try:
        return parse(text)
    except (ValueError, InvalidReading) as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def comma_hint(given: Mapping[str, Sequence[str] | None]) -> str:
    """What to add to an error about names that were given by these options; often nothing.

    A machine's or a sensor's name may hold commas, so an option does not take several by them.

    Examples
    --------
    >>> comma_hint({"--machines": ["a,b"], "--sensors": ["flow"]})
    ' (a comma is part of the name: for several, give --machines once for each)'
    >>> comma_hint({"--machines": ["a", "b"], "--sensors": None})
    ''
    """
    options = [
        option for option, names in given.items() if any("," in name for name in names or ())
    ]
    if not options:
        return ""
    return (
        f" (a comma is part of the name: for several, give {' and '.join(options)} once for each)"
    )


def start_time(text: str | None, now_ms: int) -> int | None:
    """What ``--start`` says, ``now`` too; None where it was left out."""
    if text is None:
        return None
    return now_ms if text == "now" else checked(moment, text, "--start")


def moment(text: str) -> int:
    """Milliseconds since the epoch of RFC 3339 text or of such a number.

    Raises
    ------
    InvalidReading
        When it is neither.
    """
    return parse_timestamp(int(text) if text.isdecimal() else text)
