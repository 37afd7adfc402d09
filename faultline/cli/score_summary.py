"""What `faultline score` says of a file, as data and for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from faultline.cli.offline import MACHINE
from faultline.offline.wording import count, duration
from faultline.readings import format_timestamp, parse_timestamp
from faultline.verdicts import Reason

if TYPE_CHECKING:
    from faultline.alarms import Alarm
    from faultline.offline.models import Loaded
    from faultline.offline.scoring import Scored
    from faultline.offline.sickness import Sickness
    from faultline.offline.table import Layout, Table

_TOLD_ALARMS = 20
_TOLD_SICK = 20
_MOST_NAMES = 20


def summary(loaded: Loaded, table: Table, scored: Scored, layout: Layout) -> dict[str, Any]:
    """What is said of a scored file, as data."""
    from faultline.offline.mismatch import is_newest_first, usual_step_ms  # noqa: PLC0415
    from faultline.offline.sickness import sick_sensors  # noqa: PLC0415 - a quick --help

    has_score = np.isfinite(scored.score)
    machines, known = sorted(set(scored.machines)), loaded.model.detector.machines
    step_ms = usual_step_ms(table, MACHINE)
    return {
        "model": {"name": loaded.model.name, "version": loaded.model.version},
        "rows": len(table),
        "newest_first": is_newest_first(table, MACHINE),
        "step_s": None if step_ms is None else step_ms / 1_000,
        "learnt_step_s": None if loaded.step_ms is None else loaded.step_ms / 1_000,
        "max_gap_s": loaded.model.detector.max_gap_ms / 1_000,
        "window_rows": loaded.model.detector.window_rows,
        "scored": int(has_score.sum()),
        "above_boundary": int((scored.score[has_score] > 1.0).sum()),
        "in_alarm": int(scored.alarm.sum()),
        "statuses": dict(Counter(status.value for status in scored.status)),
        "machines": len(machines),
        "new_machines": [name for name in machines if name not in known] if known else [],
        "missing_sensors": [
            name for name in loaded.model.detector.sensors if name not in table.sensors
        ],
        "unknown_columns": [
            name
            for name in table.columns
            if name and name not in {*layout.roles(), *loaded.model.detector.sensors}
        ],
        "sensor_faults": scored.reason.count(Reason.SENSOR_FAULT.value),
        "sick_sensors": [_sickness(one, table) for one in sick_sensors(scored, table)],
        "alarms": [_alarm(alarm) for alarm in scored.alarms],
    }


def _sickness(one: Sickness, table: Table) -> dict[str, Any]:
    return {
        "machine_id": one.machine_id,
        "sensor": one.sensor,
        "what": one.what,
        "rows": one.rows,
        "first": table.timestamps[one.first].strip(),
        "last": table.timestamps[one.last].strip(),
    }


def _alarm(alarm: Alarm) -> dict[str, Any]:
    from faultline.detector import sentence  # noqa: PLC0415 - a quick --help

    ended = alarm.closed_at_ms
    return {
        "machine_id": alarm.machine_id,
        "began": format_timestamp(alarm.began_at_ms),
        "opened": format_timestamp(alarm.opened_at_ms),
        "closed": None if ended is None else format_timestamp(ended),
        "peak_score": alarm.peak_score,
        "peak_at": format_timestamp(alarm.peak_at_ms),
        "bad_rows": alarm.bad_readings,
        "sentence": sentence(alarm.machine_id, alarm.top_sensors),
    }


def tell(told: dict[str, Any], table: Table) -> None:
    """Print it for a person."""
    others = {
        status: rows
        for status, rows in told["statuses"].items()
        if status not in {"normal", "failure"}
    }
    typer.echo(
        f"{told['rows']:,} rows, {told['scored']:,} scored, {told['above_boundary']:,} above the "
        f"boundary, {told['in_alarm']:,} in alarm"
        + "".join(f"; {rows:,} {status}" for status, rows in sorted(others.items()))
    )
    if told["new_machines"]:
        typer.echo(
            "not in the model, scored as machines of which only the type is known: "
            + ", ".join(told["new_machines"]),
            err=True,
        )
    if told["statuses"].get("duplicate") and told["machines"] == 1:
        typer.echo(
            "times come more than once: if the rows are of several machines, name the column with "
            "--machine-column",
            err=True,
        )
    if told["missing_sensors"]:
        unknown = told["unknown_columns"]
        renamed = f"; not in the model, perhaps renamed: {_some(unknown)}" if unknown else ""
        missing = ", ".join(told["missing_sensors"])
        typer.echo(f"not in the file, scored without: {missing}{renamed}", err=True)
    _tell_mismatch(told)
    _tell_sensors(told)
    if not told["scored"]:
        typer.echo(f"no row has a score: {_why_none(told)}", err=True)
    _tell_alarms(told["alarms"], table)
    typer.echo(f"scores: {told['output']}")
    if told["plot"]:
        typer.echo(f"plot:   {told['plot']['file']} ({told['plot']['machine_id']})")


def _tell_sensors(told: dict[str, Any]) -> None:
    if told["sensor_faults"]:
        failures = count(told["sensor_faults"], "failure")
        typer.echo(f"{failures} only by sick sensors (reason {Reason.SENSOR_FAULT.value})")
    sick = told["sick_sensors"]
    for one in sick[:_TOLD_SICK]:
        whose = f"{one['machine_id']}: " if told["machines"] > 1 else ""
        typer.echo(
            f"{whose}{one['sensor']}: {one['what']} in {count(one['rows'], 'row')}, "
            f"{one['first']} to {one['last']}"
        )
    if len(sick) > _TOLD_SICK:
        typer.echo(f"and {len(sick) - _TOLD_SICK} more sick sensors; --json names all")


def _tell_mismatch(told: dict[str, Any]) -> None:
    if told["newest_first"]:
        typer.echo("this file is newest first; sort it by time", err=True)
    if _is_other_pace(told):
        typer.echo(
            f"steps of {duration(told['step_s'])}, the model learnt from steps of "
            f"{duration(told['learnt_step_s'])}: fit one at this rate",
            err=True,
        )


def _is_other_pace(told: dict[str, Any]) -> bool:
    from faultline.offline.mismatch import is_other_pace  # noqa: PLC0415 - a quick --help

    step, learnt = told["step_s"], told["learnt_step_s"]
    return bool(step and learnt) and is_other_pace(step, learnt)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def _why_none(told: dict[str, Any]) -> str:
    statuses = told["statuses"]
    if told["newest_first"]:
        return "a row that is older than the one before is not judged"
    if told["step_s"] and told["step_s"] > told["max_gap_s"]:
        return (
            f"a silence of more than {duration(told['max_gap_s'])} begins a window anew, and the "
            f"rows are {duration(told['step_s'])} apart"
        )
    if statuses.get("insufficient_data", 0) > statuses.get("warming_up", 0):
        if _is_other_pace(told):
            return "at this rate most rows of a window are missing"
        return "fewer than half of the model's sensors have values"
    return f"a score needs {told['window_rows']} rows in time order without a gap"


def _tell_alarms(alarms: Sequence[dict[str, Any]], table: Table) -> None:
    typer.echo(count(len(alarms), "alarm"))
    for alarm in alarms[:_TOLD_ALARMS]:
        opened, peak_at = (_as_in_file(table, alarm[name]) for name in ("opened", "peak_at"))
        closed = "the end, still open"
        if alarm["closed"] is not None:
            closed = _as_in_file(table, alarm["closed"])
        typer.echo(f"  {opened} to {closed}, peak {alarm['peak_score']:.3g} at {peak_at}")
        typer.echo(f"    {alarm['sentence']}")
    if len(alarms) > _TOLD_ALARMS:
        typer.echo(f"  and {len(alarms) - _TOLD_ALARMS} more; --json names all")


def _as_in_file(table: Table, timestamp: str) -> str:
    """A row's time as it is written there, which `faultline explain --at` takes too."""
    rows = np.flatnonzero(table.timestamps_ms == parse_timestamp(timestamp))
    return table.timestamps[int(rows[0])].strip() if rows.size else timestamp
