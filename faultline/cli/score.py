"""`faultline score`: judges the rows of a file as the stream would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from faultline.cli import offline
from faultline.cli.offline import (
    JsonOption,
    MachineColumnOption,
    ModelOption,
    RegistryOption,
    TimestampColumnOption,
    TimestampUnit,
    TimestampUnitOption,
)
from faultline.cli.progress import progress_bar
from faultline.offline.wording import count
from faultline.readings import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from faultline.alarms import Alarm
    from faultline.offline.models import Loaded
    from faultline.offline.scoring import Scored
    from faultline.offline.table import Table

_TOLD_ALARMS = 20


def score(  # noqa: PLR0917 - Typer reads options from the signature
    model: ModelOption,
    input_file: Annotated[
        Path,
        typer.Option(
            "--input",
            metavar="FILE",
            help="CSV (separated by comma, semicolon or tab; also gzip) or Parquet.",
        ),
    ],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the scores go, as CSV.")],
    timestamp_column: TimestampColumnOption = "timestamp",
    timestamp_unit: TimestampUnitOption = TimestampUnit.AUTO,
    machine_column: MachineColumnOption = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw score, boundary, alarms and the top sensors as PNG; of several machines, "
            "the one with the highest score.",
        ),
    ] = None,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a file: one line for each of its rows, in the same order.

    A score of 1 is the boundary of what is normal, higher is worse. An alarm
    opens when 6 of the last 10 scored rows are above it, and closes after 10 in
    a row that are not.

    Columns of the output:
    - timestamp: as it stands in the input
    - machine_id: only with --machine-column
    - score: empty while there is none (warming up, a late row, a duplicate)
    - alarm: 1 while an alarm is open, else 0; also 0 in a new_normal state
    - status: normal, failure, new_normal (a lasting state after a failure),
      warming_up, insufficient_data, late, duplicate
    - cluster: the nearest operating regime
    - top_sensor: the one that deviates most
    - top_share: its part of the deviation, 0 to 1
    """
    from faultline.offline.output import (  # noqa: PLC0415
        require_png,
        require_writable,
        write_scores,
    )
    from faultline.offline.reading import read_table  # noqa: PLC0415
    from faultline.offline.scoring import score_table  # noqa: PLC0415
    from faultline.offline.table import Layout  # noqa: PLC0415

    for path in (output, plot):
        if path is not None:
            require_writable(path, input_file)
    if plot is not None:
        require_png(plot)
    loaded = offline.load(model, registry)
    layout = Layout(timestamp_column, timestamp_unit.value, machine_column)
    table = read_table(input_file, layout, loaded.model.detector.sensors)
    with progress_bar("score", len(table), as_json) as advance:
        scored = score_table(
            loaded.model,
            table,
            offline.MACHINE,
            loaded.bundle.manifest.machine_type,
            after_part=advance,
        )
    write_scores(output, table, scored)
    told = _summary(loaded, table, scored) | {"output": str(output), "plot": None}
    if plot is not None:
        from faultline.offline.plots import draw_scores  # noqa: PLC0415 - needs matplotlib

        told["plot"] = {"file": str(plot), "machine_id": draw_scores(plot, table, scored)}
    if as_json:
        offline.print_json(told)
    else:
        _tell(told, table)


def _summary(loaded: Loaded, table: Table, scored: Scored) -> dict[str, Any]:
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
        "alarms": [_alarm(alarm) for alarm in scored.alarms],
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


def _tell(told: dict[str, Any], table: Table) -> None:
    others = {
        status: count
        for status, count in told["statuses"].items()
        if status not in {"normal", "failure"}
    }
    typer.echo(
        f"{told['rows']:,} rows, {told['scored']:,} scored, {told['above_boundary']:,} above the "
        f"boundary, {told['in_alarm']:,} in alarm"
        + "".join(f"; {count:,} {status}" for status, count in sorted(others.items()))
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
    if not told["scored"]:
        typer.echo(f"no row has a score: {_why_none(told)}", err=True)
    _tell_alarms(told["alarms"], table)
    typer.echo(f"scores: {told['output']}")
    if told["plot"]:
        typer.echo(f"plot:   {told['plot']['file']} ({told['plot']['machine_id']})")


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
