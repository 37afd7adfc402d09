"""`faultline replay` killed in the middle and begun again, on the real Kafka and PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faultline.adapters.postgres import PostgresDatabase
from faultline.cli.resumption import state_beside
from faultline.errors import NotFound
from faultline.local.home import Endpoints
from faultline.ports.stores import FleetStore

if TYPE_CHECKING:
    from faultline.adapters.kafka import KafkaBroker
    from tests.integration.conftest import Services, Until

pytestmark = pytest.mark.real

ROWS = 40_000
STEP_MS = 10
START_MS = 1_795_000_000_000
# Under way when the replay is killed.
FAULT = range(10, 30_000)
FAULT_MS = (START_MS + STEP_MS * FAULT.start, START_MS + STEP_MS * FAULT.stop)
MACHINE = "rig-9"


class Stored:
    """What PostgreSQL has of the machine."""

    def __init__(self, store: FleetStore) -> None:
        self._store = store

    def stored(self) -> list[int]:
        try:
            return list(self._store.readings(MACHINE).timestamps_ms)
        except NotFound:
            return []

    def faults(self) -> list[tuple[int, int | None]]:
        return [(label.start_ms, label.end_ms) for label in self._store.labels(MACHINE)]


@pytest.fixture
def store(platform: Endpoints, broker: KafkaBroker) -> Iterator[Stored]:
    """With all topics and tables there."""
    database = PostgresDatabase(platform.database_url)
    yield Stored(database.fleet_store())
    database.dispose()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / f"{MACHINE}.parquet"
    rows = range(ROWS)
    table = pa.table(
        {
            "timestamp": [START_MS + STEP_MS * row for row in rows],
            "flow": [float(row) for row in rows],
            "fault": ["leak" if row in FAULT else "" for row in rows],
        }
    )
    pq.write_table(table, path, row_group_size=7_000)
    return path


def test_every_row_is_stored_once_and_the_fault_is_one(
    platform: Endpoints, store: Stored, services: Services, until: Until, recording: Path
) -> None:
    command = [sys.executable, "-m", "faultline", "replay", str(recording), "--resume"]
    command += ["--kafka", platform.kafka, "--json"]
    state = state_beside(recording)
    with subprocess.Popen([*command, "--speed", "10"]) as first:
        until(state.exists, "the first rows to be acknowledged")
        first.kill()
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert 0 < json.loads(again.stdout)["rows_before"] < ROWS

    with services.running("recorder", {}):
        until(lambda: len(store.stored()) >= ROWS, "all rows to be stored")
        until(lambda: store.faults() == [FAULT_MS], "one fault, from begin to end")
    assert store.stored() == [START_MS + STEP_MS * row for row in range(ROWS)]
