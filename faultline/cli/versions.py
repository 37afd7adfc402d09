"""`faultline models`, `history` and `rollback`: which versions there are, were, and come back."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from faultline.cli.models import (
    JsonOption,
    TrainerOption,
    client,
    moved,
    print_json,
    user,
)
from faultline.cli.options import TIME_NOTATION, HomeOption, checked, moment
from faultline.cli.table import print_table, shortened, terminal_columns
from faultline.offline.wording import duration
from faultline.readings import parse_timestamp

_NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Registered model, such as faultline-pump.")
]
_HEADER = (
    "model",
    "version",
    "stage",
    "alias",
    "gate",
    "silhouette",
    "recall",
    "false alarms",
    "rows",
    "data from",
    "to",
    "age",
    "verdicts",
)
_TO_THE_RIGHT = {"version", "silhouette", "recall", "rows", "age", "verdicts"}
_MAY_GO = ("to", "data from", "rows", "verdicts", "alias", "false alarms", "recall")
# As the trainer words it; see `services.trainer.wording.basis`.
_BASIS = re.compile(r"(\d+) in ([\d.e+-]+) machine-days")
_LONGEST_REASON = 100


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this one; all when left out.")
    ] = None,
    verdicts: Annotated[
        bool,
        typer.Option(help="Count the verdicts that each version made; slow with very many stored."),
    ] = True,
    trainer: TrainerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every version of the registered models: how good, how old, from what, how much used.

    recall: part of the faults injected in training that it found. false
    alarms: in the same measurement, of each machine a day, or where all of it
    was less than a day, how many in what time of one machine. Both are those
    of the training, not of today.
    """
    with client(trainer, home) as asked:
        names = [name] if name is not None else [one["model_name"] for one in asked.models()]
        now_ms = time.time_ns() // 1_000_000
        found = [
            _version(version, now_ms)
            for one in names
            for version in asked.versions(one, verdicts=verdicts)
        ]
    if as_json:
        print_json({"versions": found})
    elif not found:
        typer.echo("no model is registered yet; faultline train makes a first version")
    else:
        rows = [_cells(one) for one in found]
        print_table(_HEADER, rows, _TO_THE_RIGHT, _MAY_GO, terminal_columns())


def history(  # noqa: PLR0917 - Typer reads options from the signature
    name: _NameArgument,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"Only which version was live then: {TIME_NOTATION}."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what the gate said of each version.")
    ] = False,
    trainer: TrainerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the changes of a model's Production, newest first: who, when, why, from what to what."""
    at_ms = None if at is None else checked(moment, at, "--at")
    with client(trainer, home) as asked:
        told = asked.history(name, at_ms)
    if as_json:
        print_json(told)
        return
    if at is not None:
        for line in _live(name, told, verbose):
            typer.echo(line)
        return
    if not told["promotions"]:
        typer.echo(f"no version of {name} has been in Production yet")
        return
    header = ("at", "version", "before", "kind", "by", "gate", "reason")
    rows = [_change(one) for one in told["promotions"]]
    print_table(header, rows, {"version", "before"}, ("gate", "before"), terminal_columns())
    if verbose:
        for line in _said_by_the_gate(told["promotions"]):
            typer.echo(line)


def rollback(  # noqa: PLR0917 - Typer reads options from the signature
    name: _NameArgument,
    reason: Annotated[str, typer.Option(help="Why; kept with the promotion.")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            show_default="the one before",
            help="Which; one that was in Production before, archived or not.",
        ),
    ] = None,
    trainer: TrainerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an earlier version into Production again.

    The gate is not asked again; what it said is kept in the history.
    """
    if not reason.strip():
        raise typer.BadParameter("a rollback needs a reason", param_hint="--reason")
    with client(trainer, home) as asked:
        answer = asked.roll_back(name, to, reason=reason, requested_by=user())
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{name} {moved(answer, ' again')}")


def _version(answer: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """What the table shows, with numbers as such; None where the version does not say it."""
    tags: Mapping[str, str] = answer.get("tags", {})
    basis = _BASIS.search(tags.get("false_alarms_basis", ""))
    return {
        "model_name": answer["model_name"],
        "version": answer["version"],
        "stage": answer["stage"],
        "aliases": answer["aliases"],
        "gate": answer["gate"],
        "silhouette": answer["silhouette"],
        "injected_recall": _number(tags.get("injected_recall")),
        "false_alarms_per_machine_day": _number(tags.get("false_alarms_per_machine_day")),
        "false_alarms": None if basis is None else int(basis[1]),
        "evaluated_machine_days": None if basis is None else float(basis[2]),
        "rows": _number(tags.get("rows"), int),
        "training_start": tags.get("training_start"),
        "training_end": tags.get("training_end"),
        "created_at": answer["created_at"],
        "age_s": max(now_ms - parse_timestamp(answer["created_at"]), 0) // 1_000,
        "verdicts": answer.get("verdicts"),
    }


def _cells(version: Mapping[str, Any]) -> list[str]:
    recall = version["injected_recall"]
    silhouette, rows = version["silhouette"], version["rows"]
    verdicts = version["verdicts"]
    return [
        version["model_name"],
        version["version"],
        version["stage"],
        ", ".join(version["aliases"]) or "-",
        version["gate"] or "-",
        "-" if silhouette is None else f"{silhouette:.3f}",
        "-" if recall is None else f"{recall:.0%}",
        _false_alarms(version),
        "-" if rows is None else f"{rows:,}",
        _minute(version["training_start"]),
        _minute(version["training_end"]),
        age(version["age_s"]),
        "-" if verdicts is None else f"{verdicts:,}",
    ]


def _false_alarms(version: Mapping[str, Any]) -> str:
    """As a rate only where it was counted in a day or more.

    >>> rate = {"false_alarms_per_machine_day": 8.7}
    >>> _false_alarms({**rate, "false_alarms": 1, "evaluated_machine_days": 0.115})
    '1 in 2.8 h'
    >>> _false_alarms({**rate, "false_alarms": 35, "evaluated_machine_days": 4.02})
    '8.7 a day'
    """
    alarms, days = version["false_alarms"], version["evaluated_machine_days"]
    rate = version["false_alarms_per_machine_day"]
    if alarms is None or days is None or rate is None:
        return "-"
    return f"{rate:.3g} a day" if days >= 1 else f"{alarms} in {duration(86_400 * days)}"


def age(seconds: int) -> str:
    """The two largest units.

    >>> age(45), age(3_700), age(93_600), age(8_640_000)
    ('45s', '1h 1m', '1d 2h', '100d 0h')
    """
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour}h"
    if hours:
        return f"{hours}h {minute}m"
    return f"{minute}m {second}s" if minute else f"{second}s"


def _change(told: Mapping[str, Any]) -> list[str]:
    return [
        told["at"],
        told["version"] or "none",
        told["previous_version"] or "-",
        told["kind"] + (" (forced)" if told["forced"] else ""),
        told["actor"],
        told["gate"] or "-",
        shortened(" ".join(told["reason"].split()), _LONGEST_REASON) or "-",
    ]


def _live(name: str, told: Mapping[str, Any], verbose: bool) -> list[str]:
    live = told["live"]
    if live is None:
        return [f"no version of {name} was in Production at {told['at']}"]
    forced = ", forced" if live["forced"] else ""
    return [
        f"version {live['version']} of {name} was in Production at {told['at']}",
        f"since {live['at']}, {live['kind']} by {live['actor']}{forced}: "
        f"{live['reason'] or 'no reason given'}",
        *(_said_by_the_gate([live]) if verbose else ()),
    ]


def _said_by_the_gate(changes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each version once, with what the gate said of it, point by point."""
    lines: list[str] = []
    told: set[str] = set()
    for change in changes:
        if change["version"] in told or not change.get("gate_reason"):
            continue
        told.add(change["version"])
        lines += ["", f"the gate of version {change['version']}: {change['gate']}"]
        lines += [f"  {point}" for point in change["gate_reason"].split("; ")]
    return lines


def _minute(timestamp: str | None) -> str:
    return "-" if timestamp is None else timestamp[:16].replace("T", " ")


def _number(text: str | None, kind: type[int] | type[float] = float) -> float | None:
    """A number from a tag, which may say in words why there is none."""
    try:
        return kind(text or "")
    except ValueError:
        return None
