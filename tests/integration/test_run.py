"""`faultline run predictor` on a given Kafka, database and bundle; there is no MLflow."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from faultline import topics, verdicts
from faultline.local.home import Endpoints
from faultline.ports.broker import Partition
from faultline.readings import encode_batch, make_reading
from tests.integration.versions import detector_with, write_version

if TYPE_CHECKING:
    from faultline.adapters.kafka import KafkaBroker
    from tests.integration.conftest import Until

pytestmark = pytest.mark.real

MACHINE = "pump-07"
START_MS = 1_795_000_000_000
ROWS = 10


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(options: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "faultline", "run", "predictor", *options]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        try:
            yield process
        finally:
            process.kill()


def versions_of_verdicts(broker: KafkaBroker) -> list[str | None]:
    return [
        batch.model_version
        for number in range(topics.VERDICTS.partitions)
        for message in broker.read(Partition(topics.VERDICTS.name, number))
        for batch in [verdicts.decode(message.value)]
        for _ in batch.verdicts
    ]


def send(broker: KafkaBroker, first: int) -> None:
    rows = [
        make_reading(MACHINE, START_MS + 1_000 * row, {"flow": 0.1, "heat": 0.2}, "pump")
        for row in range(first, first + ROWS)
    ]
    producer = broker.producer()
    producer.send(topics.READINGS.name, MACHINE.encode(), encode_batch(rows))
    producer.flush(60)


def test_a_predictor_judges_by_the_bundle_that_it_is_given_and_by_the_next_in_its_place(
    platform: Endpoints, broker: KafkaBroker, until: Until, tmp_path: Path
) -> None:
    written = [
        write_version(tmp_path / str(number), "pump", detector_with(boundary))
        for number, boundary in enumerate((5.0, 6.0))
    ]
    first, second = (version.bundle_sha256[:12] for version in written)
    given = tmp_path / "given"
    written[0].bundle.rename(given)
    port = free_port()
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0)

    def judges_by(version: str) -> bool:
        try:
            answer = http.get("/api/v1/model", params={"machine_type": "pump"})
        except httpx.TransportError:
            return False
        models: list[dict[str, Any]] = answer.json().get("models", [])
        return [model["version"] for model in models] == [version]

    options = ["--kafka", platform.kafka, "--database", platform.database_url]
    options += ["--mlflow", f"http://127.0.0.1:{free_port()}", "--port", str(port)]
    options += ["--state-dir", str(tmp_path / "state"), "--predictor-model-poll-s", "0.2"]
    with http, running([*options, "--bundle", f"pump={given}"]) as process:
        until(lambda: judges_by(first), "the bundle to judge")
        send(broker, 0)
        until(lambda: len(versions_of_verdicts(broker)) >= ROWS, "the first verdicts")
        shutil.rmtree(given)
        written[1].bundle.rename(given)
        until(lambda: judges_by(second), "the next bundle to judge")
        send(broker, ROWS)
        until(lambda: len(versions_of_verdicts(broker)) >= 2 * ROWS, "the next verdicts")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert versions_of_verdicts(broker) == [first] * ROWS + [second] * ROWS
