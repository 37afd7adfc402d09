"""`faultline explain`: says why one row of a file has the score that it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultline.cli import offline
from faultline.cli.contributions import contribution_objects, contribution_table, in_a_sentence
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
from faultline.offline.wording import duration
from faultline.verdicts import Status

if TYPE_CHECKING:
    from faultline.offline.explaining import Explained
    from faultline.offline.models import Loaded
    from faultline.offline.table import Table

_LEAST_AROUND_ROWS = 60
_WINDOWS_AROUND = 5
_NO_SCORE = {
    Status.WARMING_UP: "the window is not full yet; a score needs {window} rows without a "
    "silence of more than {gap}",
    Status.INSUFFICIENT_DATA: "less than half of the sensors have values in the window",
    Status.LATE: "it stands after rows of a later time, and a stream would not judge it",
    Status.DUPLICATE: "its time is that of a row before, which alone is judged",
}


def explain(  # noqa: PLR0917 - Typer reads options from the signature
    model: ModelOption,
    input_file: Annotated[
        Path,
        typer.Option(
            "--input",
            metavar="FILE",
            help="CSV (separated by comma, semicolon or tab; also gzip) or Parquet.",
        ),
    ],
    at: Annotated[
        str,
        typer.Option(
            metavar="TIMESTAMP",
            help="Time of the row, as in the file or in another notation; UTC without a zone.",
        ),
    ],
    timestamp_column: ScoredTimestampColumnOption = None,
    timestamp_unit: TimestampUnitOption = TimestampUnit.AUTO,
    machine_column: MachineColumnOption = None,
    machine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose row, in a file of several machines."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the sensors that deviate most around that time, as PNG."
        ),
    ] = None,
    registry: RegistryOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a row has its score: a sentence, and each sensor's part in the deviation.

    The rows before it are judged first, so it is the verdict that the stream
    would give. Of each sensor it says: share, its part of the deviation;
    observed, the mean of the window that ends at the row; expected, what it
    should be in the nearest operating regime, and from where to where nearly all
    ordinary values lie; direction, whether the observed is higher or
    lower; health, ok or what is wrong with the sensor itself.
    """
    from faultline.offline.explaining import choose_machine, explain_row, find_row  # noqa: PLC0415
    from faultline.offline.output import require_png, require_writable  # noqa: PLC0415
    from faultline.offline.reading import read_table  # noqa: PLC0415
    from faultline.offline.table import Layout  # noqa: PLC0415

    if plot is not None:
        require_writable(plot, input_file)
        require_png(plot)
    loaded = offline.load(model, registry, home)
    time_column = timestamp_column or loaded.timestamp_column
    layout = Layout(time_column, timestamp_unit.value, machine_column)
    table = read_table(input_file, layout, loaded.model.detector.sensors)
    machine_id = choose_machine(table, machine, offline.MACHINE)
    row = find_row(table, at, machine_id)
    window_rows = loaded.model.detector.window_rows
    explained = explain_row(
        loaded.model,
        table,
        row,
        machine_id,
        loaded.bundle.manifest.machine_type,
        around_rows=max(_LEAST_AROUND_ROWS, _WINDOWS_AROUND * window_rows),
    )
    if plot is not None:
        from faultline.offline.plots import draw_explanation  # noqa: PLC0415 - needs matplotlib

        draw_explanation(plot, table, explained)
    told = _told(loaded, table, explained, plot)
    if as_json:
        offline.print_json(told)
    else:
        _tell(told)


def _told(loaded: Loaded, table: Table, explained: Explained, plot: Path | None) -> dict[str, Any]:
    verdict = explained.verdict
    if verdict.score is None:
        why = _NO_SCORE.get(verdict.status, verdict.status.value)
        said = f"{explained.machine_id}: no score at this row: " + why.format(
            window=loaded.model.detector.window_rows,
            gap=duration(loaded.model.detector.max_gap_ms / 1_000),
        )
    else:
        said = in_a_sentence(explained.machine_id, verdict)
    health = verdict.health
    named = {part.sensor for part in verdict.contributions}
    return {
        "model": {"name": loaded.model.name, "version": loaded.model.version},
        "machine_id": explained.machine_id,
        "timestamp": explained.timestamp,
        "place": table.at(explained.row),
        "status": verdict.status.value,
        "score": verdict.score,
        "cluster": verdict.cluster,
        "known": verdict.known,
        "reason": verdict.reason,
        "sentence": said,
        "sensors": contribution_objects(verdict.contributions, health),
        "unseen": {
            name: health.get(name, "missing")
            for name in loaded.model.detector.sensors
            if name not in named
        },
        "plot": None if plot is None else str(plot),
    }


def _tell(told: dict[str, Any]) -> None:
    typer.echo(told["sentence"])
    if told["score"] is not None:
        unlike = "" if told["known"] else ", unlike every known cluster"
        status = told["status"]
        if told["reason"]:
            status += f" ({told['reason']}: only by sensors that are themselves sick)"
        typer.echo(
            f"{told['timestamp']}: {status}, score {told['score']:.3g} (1 is the "
            f"boundary), nearest cluster {told['cluster']}{unlike}"
        )
        typer.echo()
        for line in contribution_table(told["sensors"]):
            typer.echo(line)
        for name, health in told["unseen"].items():
            typer.echo(f"not judged: {name} ({health})")
    if told["plot"]:
        typer.echo(f"plot: {told['plot']}")
