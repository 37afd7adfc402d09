"""Rows come back from their file as they went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faultline.data_version import data_version
from faultline.detector import MachineHistory
from faultline.errors import InvalidBundle
from faultline.snapshot import read_rows, write_rows

SENSORS = ("flow", "machine_id", "timestamp", "Öl °C")


def histories() -> list[MachineHistory]:
    random = np.random.default_rng(3)
    values = random.normal(size=(50, 4)) * 10.0 ** random.integers(-300, 99, (50, 4))
    values[3, 1] = np.nan
    values[4] = [0.0, -0.0, 5e-324, 1e100]
    values[:, 3] = np.nan
    times = np.cumsum(random.integers(1, 10_000, 50)) + 1_795_000_000_000
    return [
        MachineHistory("pump-1", times, values),
        MachineHistory("Ölpumpe/2", times[:7] - 1_795_000_000_000, np.asfortranarray(values[:7])),
    ]


def test_rows_come_back_bit_for_bit(tmp_path: Path) -> None:
    written = histories()
    write_rows(tmp_path / "rows.parquet", SENSORS, written)
    read = read_rows(tmp_path / "rows.parquet", SENSORS)
    assert [one.machine_id for one in read] == ["pump-1", "Ölpumpe/2"]
    for one, other in zip(written, read, strict=True):
        np.testing.assert_array_equal(one.timestamps_ms, other.timestamps_ms)
        assert one.values.tobytes() == other.values.tobytes()
    assert data_version(SENSORS, read) == data_version(SENSORS, written)


def test_other_sensors_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", SENSORS, histories())
    with pytest.raises(InvalidBundle, match="its columns are not"):
        read_rows(tmp_path / "rows.parquet", ("flow",))


def test_more_rows_than_allowed_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", SENSORS, histories())
    with pytest.raises(InvalidBundle, match="has 57 rows, at most 56"):
        read_rows(tmp_path / "rows.parquet", SENSORS, max_rows=56)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"something else"])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    with pytest.raises(InvalidBundle, match="cannot be read as Parquet"):
        read_rows(tmp_path / "rows.parquet", SENSORS)
