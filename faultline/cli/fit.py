"""`faultline fit`: learns what is normal from files and writes a model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultline.cli import offline
from faultline.cli.advanced import (
    DefaultWindowRowsOption,
    DistanceOption,
    DriftOption,
    HeldOutBlocksOption,
    KMaxOption,
    KMinOption,
    MachineBaselinesOption,
    MaxClusterRowsOption,
    MaxGapStepsOption,
    MaxWindowRowsOption,
    MinRowsOption,
    SilhouetteSampleRowsOption,
    SmallestClusterShareOption,
    WindowRowsOption,
)
from faultline.cli.offline import (
    JsonOption,
    MachineColumnOption,
    TimestampColumnOption,
    TimestampUnit,
    TimestampUnitOption,
)
from faultline.cli.options import checked
from faultline.events import model_name
from faultline.readings import DEFAULT_MACHINE_TYPE, make_reading

if TYPE_CHECKING:
    from faultline.detector.config import FitConfig

# Fields of `FitConfig` whose options have another name.
_OPTIONS = {"settle_after_s": "settle_after", "slow_sensors": "slow_sensor"}


def fit(  # noqa: PLR0917 - Typer reads options from the signature
    inputs: Annotated[
        list[Path],
        typer.Option(
            "--input",
            metavar="FILE",
            help="Rows of normal running: CSV (separated by comma, semicolon or tab; also gzip) or "
            "Parquet. Repeat for several.",
        ),
    ],
    model: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the model; made if it is not there.")
    ],
    timestamp_column: TimestampColumnOption = "timestamp",
    timestamp_unit: TimestampUnitOption = TimestampUnit.AUTO,
    machine_column: MachineColumnOption = None,
    machine_type: Annotated[
        str,
        typer.Option(
            metavar="TYPE", help="What kind of machine it is; the model is faultline-TYPE."
        ),
    ] = DEFAULT_MACHINE_TYPE,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="No sensor; repeat for several, or use commas."),
    ] = None,
    fault_column: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Names the fault a row was taken under, or marks it with 1; empty or 0 when "
            "healthy. No sensor; nothing is learnt from rows with a fault.",
        ),
    ] = "fault",
    slow_sensor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A sensor whose slow changes mean nothing, such as the weather's; repeat for "
            "several, or use commas. Others are found by themselves.",
        ),
    ] = None,
    shape: Annotated[
        bool,
        typer.Option(
            "--shape",
            help="Only the form of the signals counts, such as that of a pulse or a stroke, and no "
            "level: blind to most faults of other machines.",
        ),
    ] = False,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            show_default="0.002",
            help="The part of ordinary rows that may score above the boundary. Lower: fewer false "
            "alarms, and faults must be larger to be seen.",
        ),
    ] = None,
    settle_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            show_default="three days, or twice the history; an hour at least",
            help="How long one lasting state beyond the boundary takes to be the new normal; 0: it "
            "never is.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same rows and seed give the same model.")
    ] = 0,
    evaluation: Annotated[
        bool,
        typer.Option(
            "--evaluation/--no-evaluation",
            help="Also measure what is found of faults injected into the end of the history. It "
            "takes about as long as the fit once more.",
        ),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model that is in DIR.")
    ] = False,
    as_json: JsonOption = False,
    window_rows: WindowRowsOption = None,
    max_window_rows: MaxWindowRowsOption = None,
    default_window_rows: DefaultWindowRowsOption = None,
    max_gap_steps: MaxGapStepsOption = None,
    k_min: KMinOption = None,
    k_max: KMaxOption = None,
    smallest_cluster_share: SmallestClusterShareOption = None,
    held_out_blocks: HeldOutBlocksOption = None,
    min_rows: MinRowsOption = None,
    max_cluster_rows: MaxClusterRowsOption = None,
    silhouette_sample_rows: SilhouetteSampleRowsOption = None,
    distance: DistanceOption = None,
    drift: DriftOption = None,
    machine_baselines: MachineBaselinesOption = None,
) -> None:
    """Learn what is normal from files, and write a model to score with.

    A file has one row per instant: a column with the time, and a column of
    numbers per sensor. Columns of text and sensors that never change are left
    out, and it is said which. Give rows of normal running only: what is learnt
    as normal will not alarm. Rows whose column `fault` is filled are left out.

    Several files are stretches of one machine, unless --machine-column names
    the machine of each row.

    Example:
    faultline fit --input january.csv february.csv --model pump-model
    faultline score --model pump-model --input today.csv --output scores.csv
    faultline explain --model pump-model --input today.csv --at 2026-11-21T08:00Z
    """
    from faultline.offline import summary  # noqa: PLC0415 - a quick --help
    from faultline.offline.block import as_text  # noqa: PLC0415
    from faultline.offline.histories import join  # noqa: PLC0415
    from faultline.offline.reading import read_table  # noqa: PLC0415
    from faultline.offline.table import Layout  # noqa: PLC0415
    from faultline.offline.training import evaluated, learn, require_free, save  # noqa: PLC0415

    slow = offline.names(slow_sensor)
    config = _config(
        seed=seed,
        false_alarm_rate=false_alarm_rate,
        slow_sensors=slow,
        shape=shape,
        settle_after_s=settle_after,
        window_rows=window_rows,
        max_window_rows=max_window_rows,
        default_window_rows=default_window_rows,
        max_gap_steps=max_gap_steps,
        k_min=k_min,
        k_max=k_max,
        smallest_cluster_share=smallest_cluster_share,
        held_out_blocks=held_out_blocks,
        min_rows=min_rows,
        max_cluster_rows=max_cluster_rows,
        silhouette_sample_rows=silhouette_sample_rows,
        distance=None if distance is None else distance.value,
        drift=None if drift is None else drift.value,
        machine_baselines=None if machine_baselines is None else machine_baselines.value == "on",
    )
    checked(lambda text: make_reading("m", 0, {"s": 0.0}, text), machine_type, "--machine-type")
    require_free(model, overwrite)
    layout = Layout(
        timestamp_column,
        timestamp_unit.value,
        machine_column,
        offline.names(ignore),
        fault_column,
    )
    tables = [read_table(path, layout) for path in inputs]
    absent = set(layout.ignore).difference(*(table.columns for table in tables))
    if absent:
        told = ", ".join(sorted(absent))
        typer.echo(f"--ignore names columns that no input has: {told}", err=True)
    if fault_column != "fault" and not any(fault_column in table.columns for table in tables):
        raise typer.BadParameter(f"no input has {fault_column}", param_hint="--fault-column")
    histories = join(tables, offline.MACHINE)
    unknown = set(slow).difference(histories.sensors, histories.left_out_columns)
    if unknown:
        raise typer.BadParameter(
            f"no input has {', '.join(sorted(unknown))}; the sensors are "
            f"{', '.join(histories.sensors)}",
            param_hint="--slow-sensor",
        )
    learnt = learn(histories, config)
    if evaluation:
        learnt = evaluated(learnt)
    total = save(
        learnt,
        model,
        machine_type=machine_type,
        inputs=inputs,
        created_ms=time.time_ns() // 1_000_000,
        timestamp_column=timestamp_column,
    )
    found = summary.blocks(learnt)
    name = model_name(machine_type)
    if as_json:
        about = {"name": name, "folder": str(model), "machine_type": machine_type, "sha256": total}
        offline.print_json({"model": about, **{block.key: block.content for block in found}})
    else:
        typer.echo(f"{name} is in {model}")
        typer.echo(as_text(found))


def _config(**settings: Any) -> FitConfig:
    """The settings that were given; what is wrong with one becomes the command's usage error."""
    from faultline.detector.config import FitConfig  # noqa: PLC0415 - a quick --help

    try:
        return FitConfig(**{name: value for name, value in settings.items() if value is not None})
    except ValueError as error:
        field = str(error).partition(" ")[0]
        option = _OPTIONS.get(field, field).replace("_", "-")
        raise typer.BadParameter(str(error), param_hint=f"--{option}") from error


command = offline.command("fit", fit)
