"""A pump's files: healthy history, and a day on which the efficiency falls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector.config import FitConfig
from faultline.offline.histories import join
from faultline.offline.models import Loaded, load_folder
from faultline.offline.reading import read_table
from faultline.offline.table import Layout
from faultline.offline.training import Learnt, learn, save
from faultline.readings import format_timestamp

SENSORS = ("pressure", "flow", "efficiency", "vibration")
START_MS = 1_767_225_600_000
FAULT_FROM, FAULT_TO = 300, 400

Rows = NDArray[np.float64]
WriteCsv = Callable[..., Path]


def pump_rows(seed: int, rows: int) -> Rows:
    """Four sensors that follow one load of 40 rows, with noise far smaller than its swing."""
    rng = np.random.default_rng(seed)
    load = np.sin(2 * np.pi * np.arange(rows) / 40)
    swing, noise = np.array([2.0, 5.0, -8.0, 0.5]), np.array([0.1, 0.2, 0.5, 0.05])
    level = np.array([4.0, 10.0, 60.0, 1.0])
    values: Rows = level + load[:, np.newaxis] * swing + rng.normal(size=(rows, 4)) * noise
    return values


def faulty_rows() -> Rows:
    rows = pump_rows(9, 600)
    rows[FAULT_FROM:FAULT_TO, SENSORS.index("efficiency")] -= 15.0
    return rows


def times(rows: int, start: int = 0) -> list[str]:
    return [format_timestamp(START_MS + 1_000 * row) for row in range(start, start + rows)]


def csv_text(
    rows: Rows,
    stamps: Sequence[str] | None = None,
    *,
    separator: str = ",",
    decimal: str = ".",
    machine_ids: Sequence[str] | None = None,
) -> str:
    stamps = times(len(rows)) if stamps is None else stamps
    header = ["timestamp", *(["machine"] if machine_ids else []), *SENSORS]
    lines = [separator.join(header)]
    for index, (stamp, row) in enumerate(zip(stamps, rows, strict=True)):
        cells = ["" if np.isnan(value) else repr(float(value)) for value in row]
        unit = [machine_ids[index]] if machine_ids else []
        lines.append(
            separator.join([stamp, *unit, *(cell.replace(".", decimal) for cell in cells)])
        )
    return "\n".join(lines) + "\n"


class Pump:
    """What the tests need of the above: a test cannot import it from here."""

    sensors = SENSORS
    fault_from, fault_to = FAULT_FROM, FAULT_TO
    start_ms = START_MS
    rows = staticmethod(pump_rows)
    faulty_rows = staticmethod(faulty_rows)
    times = staticmethod(times)
    csv_text = staticmethod(csv_text)


@pytest.fixture(scope="session")
def pump() -> type[Pump]:
    return Pump


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    def write(name: str, rows: Rows, *args: object, **options: object) -> Path:
        path = tmp_path / name
        path.write_text(csv_text(rows, *args, **options))  # type: ignore[arg-type]
        return path

    return write


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    path = tmp_path_factory.mktemp("history") / "train.csv"
    path.write_text(csv_text(pump_rows(1, 1_500)))
    return learn(join([read_table(path, Layout())], "machine"), FitConfig())


@pytest.fixture(scope="session")
def model_folder(learnt: Learnt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "pump"
    save(learnt, folder, machine_type="pump", inputs=[Path("train.csv")], created_ms=START_MS)
    return folder


@pytest.fixture(scope="session")
def loaded(model_folder: Path) -> Loaded:
    return load_folder(model_folder)
