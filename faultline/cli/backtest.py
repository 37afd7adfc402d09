"""`faultline backtest`: the alarms that a version raises on stored history, and those that were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from faultline.cli.models import HomeOption, JsonOption, TrainerOption, client, print_json
from faultline.cli.options import checked, moment
from faultline.cli.versions import print_table

_FOUND_BY = {"both": "both", "then": "only then", "now": "only this version"}
_ALARM_HEADER = ("machine", "found by", "then", "now", "peak now", "sensors now")
_FAULT_HEADER = ("machine", "known fault", "from", "to", "found then after", "found now after")
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
        typer.Option(metavar="TIME", help="Begin of the history: RFC 3339 or epoch milliseconds."),
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="End of the history, itself left out.")
    ] = None,
    trainer: TrainerOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay a version over stored history: what it would have raised beside what was raised.

    It judges as the stream does, and changes nothing. then: the alarms there were, by
    whichever version was live. Known faults are those labelled; an alarm that none of
    them explains counts as false.
    """
    start_ms = None if start is None else checked(moment, start, "--start")
    end_ms = None if end is None else checked(moment, end, "--end")
    with client(trainer, home) as asked:
        told = asked.backtest(
            name, version, machines=machines or (), start_ms=start_ms, end_ms=end_ms
        )
    if as_json:
        print_json(told)
        return
    typer.echo(_heading(told))
    print_table(
        ("", "alarms", "false", "false/machine-day", "faults found", "recall", "median delay"),
        [_tally("then", told["then"], told), _tally("this version", told["now"], told)],
        {"alarms", "false", "false/machine-day", "faults found", "recall", "median delay"},
    )
    _print_part("alarms", _ALARM_HEADER, [_alarm(one) for one in told["alarms"]])
    _print_part("known faults", _FAULT_HEADER, [_fault(one) for one in told["faults"]])
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
        f"{len(told['machines'])} machines, {told['machine_days']:.3g} machine-days outside known "
        f"faults\nverdicts: {verdicts}\nby the rule: {told['alarm_rule']}\n"
    )


def _tally(side: str, tally: Mapping[str, Any], told: Mapping[str, Any]) -> list[str]:
    rate, recall = tally["false_alarms_per_machine_day"], tally["recall"]
    return [
        side,
        str(tally["alarms"]),
        str(tally["false_alarms"]),
        "-" if rate is None else f"{rate:.3g}",
        f"{tally['faults_found']} of {len(told['faults'])}",
        "-" if recall is None else f"{recall:.0%}",
        _delay(tally["delay_s"], "-"),
    ]


def _print_part(what: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    typer.echo("")
    print_table(header, rows[:_MOST_LINES], {"peak now"})
    if len(rows) > _MOST_LINES:
        typer.echo(f"and {len(rows) - _MOST_LINES} more {what}; --json has all of them")


def _alarm(group: Mapping[str, Any]) -> list[str]:
    now = group["now"]
    worst = max(now, key=lambda alarm: alarm["peak_score"], default=None)
    return [
        group["machine_id"],
        _FOUND_BY[group["found_by"]],
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
        _delay(fault["then_delay_s"], "missed"),
        _delay(fault["now_delay_s"], "missed"),
    ]


def _second(timestamp: str | None) -> str:
    return "the end" if timestamp is None else timestamp[:19].replace("T", " ")


def _delay(seconds: float | None, without: str) -> str:
    """In the unit that suits.

    >>> _delay(42, "-"), _delay(90, "-"), _delay(9_000, "-"), _delay(None, "missed")
    ('42 s', '1.5 min', '2.5 h', 'missed')
    """
    if seconds is None:
        return without
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3_600 else f"{seconds / 3_600:.3g} h"
