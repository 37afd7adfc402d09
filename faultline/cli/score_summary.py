"""What `faultline score` says of a file, as data and for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from faultline.offline.wording import count
from faultline.readings import format_timestamp, parse_timestamp
from faultline.verdicts import Reason

if TYPE_CHECKING:
    from faultline.alarms import Alarm
    from faultline.offline.models import Loaded
    from faultline.offline.scoring import Scored
    from faultline.offline.sickness import Sickness
    from faultline.offline.table import Table

_TOLD_ALARMS = 20
_TOLD_SICK = 20


def summary(loaded: Loaded, table: Table, scored: Scored) -> dict[str, Any]:
    """What is said of a scored file, as data."""
    from faultline.offline.sickness import sick_sensors  # noqa: PLC0415 - a quick --help

    has_score = np.isfinite(scored.score)
    machines, known = sorted(set(scored.machines)), loaded.model.detector.machines
    return {
        "model": {"name": loaded.model.name, "version": loaded.model.version},
        "rows": len(table),
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
        typer.echo(
            "not in the file, scored without: " + ", ".join(told["missing_sensors"]), err=True
        )
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


def _why_none(told: dict[str, Any]) -> str:
    if told["statuses"].get("insufficient_data"):
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
