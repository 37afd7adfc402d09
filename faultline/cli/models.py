"""`faultline train` and `faultline promote`: asking the trainer for versions."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from faultline.cli.options import TIME_NOTATION, HomeOption, checked, comma_hint, moment
from faultline.readings import format_timestamp

if TYPE_CHECKING:
    from faultline.client import Job, TrainerClient
    from faultline.ports.jobs import Period

TrainerOption = Annotated[
    str | None,
    typer.Option(
        "--trainer",
        metavar="URL",
        show_default="that of the running stack",
        help="The trainer's address.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]

# How the trainer's decision begins then.
_REFUSED = "the gate refused"


class PromotionMode(StrEnum):
    """What becomes of a version that passes the gate."""

    AUTO = "auto"
    HOLD = "hold"


class TargetStage(StrEnum):
    """Where a version can be moved to."""

    PRODUCTION = "Production"
    STAGING = "Staging"
    ARCHIVED = "Archived"
    NONE = "None"


def train(  # noqa: PLR0917 - Typer reads options from the signature
    machine_type: Annotated[
        str, typer.Option("--machine-type", "-t", help="Whose history to learn from.")
    ],
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"Begin of the history: {TIME_NOTATION}."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End of the history, itself left out; as --start."),
    ] = None,
    machines: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Learn from this machine; repeat for several. All if none"),
    ] = None,
    sensors: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Use this sensor; repeat for several. All if none"),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="START/END", help="Leave out this period; repeat for several. Times as --start."
        ),
    ] = None,
    dataset_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Learn again from the rows of this earlier version, instead of the history.",
        ),
    ] = None,
    promotion: Annotated[
        PromotionMode,
        typer.Option(help="auto: into Production when the gate passes. hold: stays in Staging."),
    ] = PromotionMode.AUTO,
    repeat: Annotated[
        bool,
        typer.Option(
            "--repeat", help="Make a version also of rows and settings that there is one of."
        ),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    trainer: TrainerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a version on the stored history of a machine type.

    Where there is a version of the same rows and settings, none is made: it says which that is.
    Exit status: 0 when the job is queued (with --wait, when there is a version), else 1.
    """
    if dataset_version is not None and any((start, end, machines, sensors, exclude)):
        raise typer.BadParameter(
            "it names the rows: leave out --start, --end, --machines, --sensors and --exclude",
            param_hint="--dataset-version",
        )
    excluded = [_period(text) for text in exclude or ()]
    start_ms, end_ms = time_range(start, end)
    judged: Mapping[str, Any] | None = None
    with client(trainer, home) as asked:
        job = asked.train(
            machine_type,
            start_ms=start_ms,
            end_ms=end_ms,
            machines=machines or (),
            sensors=sensors or (),
            excluded=excluded,
            dataset_version=dataset_version,
            promotion=promotion.value,
            repeat=repeat,
            requested_by=user(),
        )
        if wait:
            if not as_json:
                typer.echo(f"job {job.job_id}{_range(start_ms, end_ms)}")
            job = asked.wait(job.job_id, None if as_json else _tell)
            if not as_json and job.model_name and job.model_version and not job.unchanged:
                judged = next(iter(asked.gate(job.model_name, job.model_version)), None)
    if as_json:
        print_json(job)
    elif not wait:
        asked_for = f"job {job.job_id} is {job.state}{_range(start_ms, end_ms)}"
        typer.echo(f"{asked_for}; --wait follows one to its end")
    elif job.state == "succeeded":
        typer.echo("\n".join(_outcome(job, judged)))
    if job.final and job.state != "succeeded":
        if not as_json:
            hint = comma_hint({"--machines": machines, "--sensors": sensors})
            typer.echo(
                f"faultline: the training {job.state}: {job.error or job.state}{hint}", err=True
            )
        raise typer.Exit(1)


def promote(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Registered model, such as faultline-pump.")
    ],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number.")],
    stage: Annotated[
        TargetStage,
        typer.Option(
            case_sensitive=False, help="Where to; Production archives the one that is there."
        ),
    ] = TargetStage.PRODUCTION,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also when the gate refused the version."),
    ] = False,
    trainer: TrainerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a version to Production, or to another stage.

    The staging version scores live readings beside the one in Production.
    """
    if not reason.strip():
        raise typer.BadParameter("a promotion needs a reason", param_hint="--reason")
    with client(trainer, home) as asked:
        answer = asked.promote(
            name,
            version,
            stage=stage.value,
            reason=reason,
            force=force,
            requested_by=user(),
        )
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{name} {moved(answer)}")


def client(trainer: str | None, home: Path | None) -> TrainerClient:
    """Speak to the trainer that is named, else to that of the stack that runs in `home`."""
    from faultline.client import TrainerClient  # noqa: PLC0415 - a quick --help
    from faultline.local.home import load_endpoints  # noqa: PLC0415

    return TrainerClient(trainer or load_endpoints(home, needs=("trainer",)).trainer)


def user() -> str:
    """Who asks, as far as the system knows; kept with what comes of it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"


def _period(text: str) -> Period:
    from faultline.ports.jobs import Period  # noqa: PLC0415 - a quick --help

    begin, slash, end = text.partition("/")
    if not (begin and slash and end):
        raise typer.BadParameter(
            f"{text!r} is no period: give START/END, such as "
            "2026-01-01T10:00:00Z/2026-01-01T11:30:00Z, or epoch milliseconds on both sides",
            param_hint="--exclude",
        )
    start_ms, end_ms = (checked(moment, side, "--exclude") for side in (begin, end))
    if start_ms >= end_ms:
        raise typer.BadParameter(
            f"{text!r} ends before it begins: give START/END, the earlier time first",
            param_hint="--exclude",
        )
    return Period(start_ms, end_ms)


def _tell(job: Job) -> None:
    if not job.final:
        typer.echo(f"  {job.progress or job.state}")


def _outcome(job: Job, judged: Mapping[str, Any] | None) -> list[str]:
    """What a training came to: a line, and what the gate said as a list."""
    decision = job.decision or ""
    if job.unchanged:
        hint = "; --repeat makes another version" if not job.promoted else ""
        return [f"{job.model_name}: nothing new to learn, {decision}{hint}"]
    where = "is in Staging"
    if job.promoted:
        where = "is in Production"
    elif decision.startswith(_REFUSED):
        where = "is not promoted"
    # Its end is what the checks say one by one.
    told = decision if judged is None else decision.removesuffix(judged["reason"]).rstrip(" :;")
    head = f"{job.model_name} version {job.model_version} {where}" + (f" ({told})" if told else "")
    return [head, *(f"  {line}" for line in gate_lines(judged))]


def moved(answer: Mapping[str, Any], again: str = "") -> str:
    """What a request to move a version came to, in words."""
    version, stage, previous = answer["version"], answer["stage"], answer["previous_version"]
    if not answer["changed"]:
        since = f" since {answer['since']}" if answer["since"] else ""
        return f"version {version} is already in {stage}{since}; nothing changed, nothing is logged"
    archived = f"; version {previous} is archived" if previous else ""
    return f"version {version} is in {stage}{again}{archived}"


def gate_lines(judged: Mapping[str, Any] | None) -> list[str]:
    """A judgement as a list: each check, what was refused first, and the notes."""
    if judged is None:
        return []
    checks = sorted(judged["checks"], key=lambda check: bool(check["passed"]))
    return [
        *(f"{'passed ' if one['passed'] else 'refused'}  {one['reason']}" for one in checks),
        *(f"note     {note}" for note in judged["notes"]),
    ]


def time_range(
    start: str | None, end: str | None, options: tuple[str, str] = ("--start", "--end")
) -> tuple[int | None, int | None]:
    """What these two options say, milliseconds since the epoch; None is open."""
    from_, to = options
    start_ms = None if start is None else checked(moment, start, from_)
    end_ms = None if end is None else checked(moment, end, to)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise typer.BadParameter(f"it must be later than {from_}", param_hint=to)
    return start_ms, end_ms


def _range(start_ms: int | None, end_ms: int | None) -> str:
    """The chosen part of the history, in UTC, so that a wrong zone is seen."""
    said = ""
    if start_ms is not None:
        said += f" from {format_timestamp(start_ms)}"
    if end_ms is not None:
        said += f" to {format_timestamp(end_ms)}"
    return f", history{said}" if said else ""


def print_json(document: object) -> None:
    """Print one JSON object."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document)).decode() + "\n")
