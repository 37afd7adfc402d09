"""The dataset among a run's files: the rows, the recipe of the version, what was left out.

It writes a folder, and says what the registry should list.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

from faultline.detector.config import FitConfig
from faultline.left_out import LeftOut
from faultline.ports.registry import DatasetInput
from faultline.readings import format_timestamp
from faultline.recipe import FOLDER, RECIPE, ROWS, Recipe, environment, write_recipe
from faultline.snapshot import in_memory_bytes, write_rows
from services.trainer.dataset import Dataset

LEFT_OUT = "left_out.csv"


def write_dataset(
    folder: Path, dataset: Dataset, config: FitConfig, threads: int, max_bytes: int
) -> None:
    """Write the folder, which is made.

    Parameters
    ----------
    threads
        That the fit was allowed.
    max_bytes
        When the numbers take more, the rows are left out, and the recipe refers to the database.
    """
    folder.mkdir()
    keeps_rows = in_memory_bytes(dataset.histories) <= max_bytes
    if keeps_rows:
        write_rows(folder / ROWS, dataset.sensors, dataset.histories)
    recipe = Recipe(
        stored="rows" if keeps_rows else "reference",
        query=dataset.query,
        left_out=dataset.left_out,
        left_out_rows=dataset.left_out_rows,
        data_version=dataset.data_version,
        sensors=dataset.sensors,
        machines={one.machine_id: len(one.timestamps_ms) for one in dataset.histories},
        fit=asdict(config),
        threads=threads,
        environment=environment(),
    )
    write_recipe(folder / RECIPE, recipe)
    with (folder / LEFT_OUT).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("cause", "what", "machine_id", "start", "end", "readings"))
        table.writerows(map(_line, dataset.left_out))


def _line(period: LeftOut) -> tuple[str | int, ...]:
    return (
        period.cause.value,
        period.what,
        "all" if period.machine_id is None else period.machine_id,
        format_timestamp(period.start_ms),
        "" if period.end_ms is None else format_timestamp(period.end_ms),
        "" if period.readings is None else period.readings,
    )


def dataset_input(dataset: Dataset) -> DatasetInput:
    """What the registry lists."""
    return DatasetInput(
        name=f"{dataset.machine_type} readings",
        digest=dataset.data_version,
        artifact=FOLDER,
        columns={
            "machine_id": "string",
            "timestamp": "datetime",
            **dict.fromkeys(dataset.sensors, "double"),
        },
        profile={
            "rows": dataset.rows,
            "machines": len(dataset.histories),
            "start": format_timestamp(dataset.start_ms),
            "end": format_timestamp(dataset.end_ms),
            "rows_left_out": dataset.left_out_rows,
            "data_version": dataset.data_version,
        },
    )
