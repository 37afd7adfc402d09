"""`faultline backtest`: the alarms that a version raises on stored history, and those that were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from faultline.cli.models import JsonOption, TrainerOption, client, print_json, time_range
from faultline.cli.options import TIME_NOTATION, HomeOption, comma_hint
from faultline.cli.table import print_table
from faultline.errors import NotFound
from faultline.offline.wording import count, duration

_MOST_LINES = 50


def backtest(  # noqa: PLR0917 - Typer reads options from the signature
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Registered model, such as faultline-pump.")
    ],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number.")],
    machines: Annotated[
        list[str] | None,
        typer.Option("--machine", metavar="M", help="Only this machine; repeatable."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"Begin of the history: {TIME_NOTATION}."),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End of the history, itself left out; as --start."),
    ] = None,
    trainer: TrainerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a version over stored history: what it would have raised beside what was raised.

    It judges as the stream does, and changes nothing. then: the alarms there
    were, by whichever version was live; time in which none was is not counted.
    Known faults are those labelled; an alarm that none of them explains counts
    as false.
    """
    start_ms, end_ms = time_range(start, end)
    with client(trainer, home) as asked:
        try:
            told = asked.backtest(
                name, version, machines=machines or (), start_ms=start_ms, end_ms=end_ms
            )
        except NotFound as error:
            raise NotFound(f"{error}{comma_hint({'--machine': machines})}") from error
    if as_json:
        print_json(told)
        return
    this = f"version {told['version']}"
    typer.echo(_heading(told))
    print_table(
        ("", "alarms", "false", "false/machine-day", "faults found", "recall", "median delay"),
        [_tally("then", told["then"]), _tally(this, told["now"])],
        {"alarms", "false", "false/machine-day", "faults found", "recall", "median delay"},
    )
    if not_live := _not_live(told):
        typer.echo(not_live)
    found_by = {"both": "both", "then": "only then", "now": f"only {this}"}
    _print_part(
        "alarms",
        ("machine", "found by", "then", this, "peak", f"sensors of {this}"),
        [_alarm(one, found_by) for one in told["alarms"]],
    )
    _print_part(
        "known faults",
        ("machine", "known fault", "from", "to", "found then after", f"by {this} after"),
        [_fault(one) for one in told["faults"]],
    )
    if told["learnt_readings"]:
        share = told["learnt_readings"] / told["readings"]
        typer.echo(
            f"\nnote: the version may have learnt from {share:.0%} of these readings, and raises "
            "fewer alarms on them than on others"
        )


def _heading(told: Mapping[str, Any]) -> str:
    verdicts = ", ".join(f"{count:,} {status}" for status, count in told["verdicts"].items())
    return (
        f"{told['model_name']} version {told['version']} on {told['readings']:,} readings of "
        f"{count(len(told['machines']), 'machine')}, {_range(told['machines'])}; "
        f"{told['machine_days']:.3g} machine-days outside known faults\n"
        f"verdicts: {verdicts}\nby the rule: {told['alarm_rule']}\n"
    )


def _range(machines: Sequence[Mapping[str, Any]]) -> str:
    start, end = min(one["start"] for one in machines), max(one["end"] for one in machines)
    return f"{_second(start)} to {_second(end)} (UTC)"


def _not_live(told: Mapping[str, Any]) -> str | None:
    """What is not counted against the versions of that time, for there was none."""
    faults = sum(not fault["was_live"] for fault in told["faults"])
    since = told["live_since"]
    if not faults and told["then"]["machine_days"] >= told["machine_days"]:
        return None
    when = "no version was ever live" if since is None else f"first live: {_second(since)}"
    return f"then counts only time in which a version was live ({when}); " + (
        f"{count(faults, 'known fault')} of other times left out" if faults else "no fault left out"
    )


def _tally(side: str, tally: Mapping[str, Any]) -> list[str]:
    rate, recall = tally["false_alarms_per_machine_day"], tally["recall"]
    return [
        side,
        str(tally["alarms"]),
        str(tally["false_alarms"]),
        "-" if rate is None else f"{rate:.3g}",
        f"{tally['faults_found']} of {tally['faults']}" if tally["faults"] else "-",
        "-" if recall is None else f"{recall:.0%}",
        "-" if tally["delay_s"] is None else duration(tally["delay_s"]),
    ]


def _print_part(what: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    typer.echo("")
    print_table(header, rows[:_MOST_LINES], {"peak"})
    if len(rows) > _MOST_LINES:
        typer.echo(f"and {len(rows) - _MOST_LINES} more {what}; --json has all of them")


def _alarm(group: Mapping[str, Any], found_by: Mapping[str, str]) -> list[str]:
    now = group["now"]
    worst = max(now, key=lambda alarm: alarm["peak_score"], default=None)
    return [
        group["machine_id"],
        found_by[group["found_by"]],
        _times(group["then"]),
        _times(now),
        "-" if worst is None else f"{worst['peak_score']:.3g}",
        "-" if worst is None else ", ".join(worst["sensors"]),
    ]


def _times(alarms: Sequence[Mapping[str, Any]]) -> str:
    if not alarms:
        return "-"
    more = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
    return f"{_second(alarms[0]['opened_at'])} to {_second(alarms[0]['closed_at'])}{more}"


def _fault(fault: Mapping[str, Any]) -> list[str]:
    return [
        fault["machine_id"],
        fault["kind"],
        _second(fault["start"]),
        _second(fault["end"]),
        _delay(fault["then_delay_s"]) if fault["was_live"] else "none live",
        _delay(fault["now_delay_s"]),
    ]


def _second(timestamp: str | None) -> str:
    return "the end" if timestamp is None else timestamp[:19].replace("T", " ")


def _delay(seconds: float | None) -> str:
    return "missed" if seconds is None else duration(seconds)
