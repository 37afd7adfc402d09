"""`docs/data.md` says what the sources do, and its script does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from faultline.sources.csv import CsvFile
from faultline.sources.faults import PHYSICAL, FaultKind
from faultline.sources.probe import PsutilProbe
from faultline.sources.pump import SENSORS, Sensor
from faultline.sources.truth import fault_labels

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
# Cooler, valve, pump, accumulator, stable flag of ten cycles each.
PROFILE = [
    (100, 100, 0),
    (100, 100, 0),
    (20, 100, 0),
    (3, 100, 0),
    (100, 100, 1),
    (100, 100, 2),
    (100, 73, 0),
]


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page's script makes of raw files laid out as the rig's are."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("shaped")
    profile = [(*state, 130, 0) for state in PROFILE for _ in range(10)]
    np.savetxt(raw / "profile.txt", profile, fmt="%d", delimiter="\t")
    rng = np.random.default_rng(0)
    for name in ("TS1", "TS2", "TS3", "TS4", "VS1", "SE", "CE", "CP", "FS1", "FS2"):
        columns = 600 if name.startswith("FS") else 60
        values = 35 + 0.1 * rng.standard_normal((len(profile), columns))
        np.savetxt(raw / f"{name}.txt", values, fmt="%.3f", delimiter="\t")
    script = raw / "shape_rig.py"
    script.write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], encoding="utf-8")
    subprocess.run([sys.executable, script, raw, out], check=True, timeout=60)
    return out


def test_the_script_makes_a_healthy_history_of_ten_sensors(shaped: Path) -> None:
    history = CsvFile(shaped / "healthy.csv", "healthy")
    rows = list(history.rows())
    assert len(history.sensors()) == 10
    assert len(rows) == 10 * 60
    assert {row.fault for row in rows} == {""}


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("rig-1-cooler", ["cooler_reduced", "cooler_failing"]),
        ("rig-2-pump", ["pump_leak_weak", "pump_leak_severe"]),
        ("rig-3-valve", ["valve_failing"]),
        ("rig-4-healthy", []),
    ],
)
def test_the_script_makes_live_files_with_their_faults(
    shaped: Path, name: str, faults: list[str]
) -> None:
    file = CsvFile(shaped / f"{name}.csv", name)
    rows = list(file.rows())
    steps = np.diff([row.reading.timestamp_ms for row in rows])
    assert [label.kind for label in fault_labels(rows)] == faults
    assert rows[0].fault == ""
    assert set(steps) == {1_000}


def test_the_live_files_follow_the_history(shaped: Path) -> None:
    last = max(reading.timestamp_ms for reading in CsvFile(shaped / "healthy.csv", "h").readings())
    first = CsvFile(shaped / "rig-4-healthy.csv", "rig").first_timestamp_ms()
    assert first is not None
    assert first > last


@pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.name)
def test_every_sensor_of_a_pump_is_named_with_its_unit(sensor: Sensor) -> None:
    assert f"| `{sensor.name}` | {sensor.unit} |" in PAGE


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_is_named(kind: FaultKind) -> None:
    assert f"\n| `{kind}` |" in PAGE


@pytest.mark.parametrize("kind", list(PHYSICAL))
def test_the_size_of_a_pumps_fault_is_what_the_page_says(kind: FaultKind) -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{kind}` |"))
    said = {int(percent) for percent in re.findall(r"([+-]\d+) %", line)}
    done = {round(change * 100) for change in PHYSICAL[kind].values() if abs(change) > 0.02}
    assert said == done


def test_every_sensor_of_this_machine_is_named() -> None:
    probe = PsutilProbe()
    names = [name for name in (*probe.counters(), *probe.gauges()) if "temperature" not in name]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
