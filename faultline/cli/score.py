"""`faultline score`: judges the rows of a file as the stream would."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faultline.cli import offline
from faultline.cli.offline import (
    JsonOption,
    MachineColumnOption,
    ModelOption,
    RegistryOption,
    ScoredTimestampColumnOption,
    TimestampUnit,
    TimestampUnitOption,
)
from faultline.cli.options import HomeOption
from faultline.cli.progress import progress_bar
from faultline.cli.score_summary import summary, tell


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
    timestamp_column: ScoredTimestampColumnOption = None,
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
    details: Annotated[
        bool,
        typer.Option(
            "--details",
            help="Also the columns known, reason and health (what is wrong with single sensors).",
        ),
    ] = False,
    registry: RegistryOption = None,
    home: HomeOption = None,
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

    With --details also:
    - known: 0 where the row is unlike every operating regime, else 1
    - reason: SENSOR_FAULT where a failure is only that of sick sensors
    - health: what is wrong with single sensors, such as
      pressure:stuck;flow:missing (or silent, out_of_range)
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
    loaded = offline.load(model, registry, home)
    time_column = timestamp_column or loaded.timestamp_column
    layout = Layout(time_column, timestamp_unit.value, machine_column)
    table = read_table(input_file, layout, loaded.model.detector.sensors)
    with progress_bar("score", len(table), as_json) as advance:
        scored = score_table(
            loaded.model,
            table,
            offline.MACHINE,
            loaded.bundle.manifest.machine_type,
            after_part=advance,
        )
    write_scores(output, table, scored, details=details)
    told = summary(loaded, table, scored, layout) | {"output": str(output), "plot": None}
    if plot is not None and not told["scored"]:
        typer.echo("no picture: no row has a score", err=True)
    elif plot is not None:
        from faultline.offline.plots import draw_scores  # noqa: PLC0415 - needs matplotlib

        told["plot"] = {"file": str(plot), "machine_id": draw_scores(plot, table, scored)}
    if as_json:
        offline.print_json(told)
    else:
        tell(told, table)
