"""`faultline follow`: verdicts, alarms, drift and what happens to models, line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from faultline.cli.options import HomeOption
from faultline.cli.outlet import INTERRUPTED_STATUS
from faultline.cli.terminal import escaped, escaped_json
from faultline.cli.waiting import Waiting

if TYPE_CHECKING:
    from faultline.client import LiveEvent


def follow(  # noqa: PLR0917 - Typer reads options from the signature
    machine: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this one; may be repeated.")
    ] = None,
    machine_type: Annotated[
        str | None,
        typer.Option(
            "--machine-type", "--type", metavar="TYPE", help="Only machines of this type."
        ),
    ] = None,
    alarms: Annotated[bool, typer.Option("--alarms", help="Only alarms.")] = False,
    failures: Annotated[
        bool, typer.Option("--failures", help="Of the verdicts only failures.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Begin after this event; --json shows each one's id."),
    ] = None,
    predictor: Annotated[
        str | None,
        typer.Option(
            metavar="URL", show_default="that of the running stack", help="Any of the predictors."
        ),
    ] = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per event.")] = False,
) -> None:
    """Show verdicts, alarms, drift and what happens to models as they come, until Ctrl-C.

    Of all machines, whichever predictor is asked. A predictor that goes away is waited for, for a
    minute, and nothing is missed by that; what was left out is told on stderr.
    """
    from faultline.client import PredictorClient  # noqa: PLC0415 - a quick --help
    from faultline.local.home import load_endpoints  # noqa: PLC0415

    url = predictor or load_endpoints(home, needs=("predictor",)).predictor
    waiting = Waiting(url)
    with PredictorClient(url) as client:
        events = client.follow(
            events=("alarm",) if alarms else (),
            machines=machine or (),
            machine_type=machine_type,
            status="failure" if failures else None,
            last_event_id=since,
            sleep=waiting.sleep,
        )
        try:
            for event in events:
                waiting.over()
                tell(event, as_json)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED_STATUS) from None


def tell(event: LiveEvent, as_json: bool) -> None:
    """Print an event, for a person or as JSON."""
    if event.kind == "position":
        return
    if as_json:
        sys.stdout.write(escaped_json(msgspec.json.encode(_document(event)).decode()) + "\n")
    elif event.kind == "gap":
        typer.echo(gap_line(event.data), err=True)
    else:
        for line in lines(event):
            typer.echo(line)
    # For whoever reads it through a pipe.
    with suppress(ValueError):
        sys.stdout.flush()


def _document(event: LiveEvent) -> dict[str, Any]:
    return {"event": event.kind, "id": event.id, "data": event.data}


def lines(event: LiveEvent) -> Iterator[str]:
    """What a person reads of an event: time, what it is about, what it says."""
    data = event.data
    match event.kind:
        case "verdict":
            # The newest come first there, and last here.
            for one in reversed(data["verdicts"]):
                yield _line(one["timestamp"], data["machine_id"], *_verdict_words(one))
        case "alarm":
            yield _line(
                data["updated_at"],
                data["machine_id"],
                f"alarm {data['state']}",
                f"peak {data['peak_score']:.2f}",
                data["why"],
            )
        case "model":
            by = f"by {data['actor']}"
            did = f"version {data['model_version']} {data['kind']}"
            yield _line(data["at"], data["model_name"], did, by, data["reason"])
        case "drift":
            yield _line(data["at"], data["model"], data["summary"])


def gap_line(data: dict[str, Any]) -> str:
    """What was left out.

    >>> gap_line({"reason": "slow", "missed": {"verdict": 120, "alarm": 1}})
    'left out: 120 verdict events, 1 alarm event (slow)'
    """
    missed = [
        f"{count} {kind} event{'' if count == 1 else 's'}" for kind, count in data["missed"].items()
    ]
    told = f"left out: {', '.join(missed) or 'nobody knows how many events'} ({data['reason']})"
    return escaped(told)


def _verdict_words(verdict: dict[str, Any]) -> Iterator[str]:
    yield verdict["status"]
    if verdict["score"] is not None:
        yield f"{verdict['score']:.2f}"
    yield verdict["reason"] or ""
    yield verdict["why"] or ""


def _line(*parts: str) -> str:
    # Names and reasons are as whoever made the request wrote them.
    return "  ".join(escaped(part) for part in parts if part)
