"""What every job queue must do is held against the one in memory and against PostgreSQL."""

from __future__ import annotations

import pytest

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.ports.jobs import JobQueue


@pytest.fixture
def queue(database: MemoryDatabase | PostgresDatabase) -> JobQueue:
    return database.job_queue()
