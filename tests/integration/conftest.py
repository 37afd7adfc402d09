"""Service processes beside the real Kafka, PostgreSQL and MLflow, and patience with them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest

from faultline.adapters.postgres.migration import migrate
from faultline.local.home import Endpoints
from faultline.local.stack import Stack
from faultline.ports.registry import ModelRegistry
from faultline.settings import KafkaSettings, RegistrySettings
from faultline.topics import ALL

if TYPE_CHECKING:
    from faultline.adapters.kafka import KafkaBroker

_PATIENCE_S = 300.0
# A module's first test also starts its platform; on a machine that has other things to do.
_LONGEST_S = 900
_LOOK_EVERY_S = 0.1

_MODULES: Mapping[str, tuple[str, ...]] = {
    "bridge": ("services.ingest", "bridge"),
    "gateway": ("services.ingest", "gateway"),
    "predictor": ("services.predictor",),
    "recorder": ("services.ingest", "recorder"),
    "trainer": ("services.trainer",),
}


class Until(Protocol):
    def __call__(
        self, done: Callable[[], bool], what: str, look_every_s: float = _LOOK_EVERY_S
    ) -> None: ...


def _until(done: Callable[[], bool], what: str, look_every_s: float = _LOOK_EVERY_S) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(look_every_s)


@dataclass
class Running:
    """A service's process."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    @property
    def url(self) -> str:
        return str(self.http.base_url)

    def ready(self) -> bool:
        assert self.process.poll() is None, "the service ended by itself"
        try:
            return self.http.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def comparison(self, machine_type: str) -> dict[str, Any]:
        answer = self.http.get("/api/v1/model/comparison", params={"machine_type": machine_type})
        [one] = answer.json()["comparisons"] if answer.is_success else [{}]
        return dict(one)

    def version(self, machine_type: str) -> str | None:
        answer = self.http.get("/api/v1/model", params={"machine_type": machine_type})
        return answer.json()["models"][0]["version"] if answer.is_success else None

    def judges_by(self, machine_type: str, version: str) -> bool:
        return self.version(machine_type) == version

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


class Services:
    """Starts services on the platform, which share a folder for their state."""

    def __init__(self, platform: Endpoints, folder: Path) -> None:
        self._platform = platform
        self._folder = folder

    @contextmanager
    def running(self, name: str, settings: Mapping[str, str]) -> Iterator[Running]:
        """Start one and wait until it is ready; it is gone afterwards."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {
            **os.environ,
            "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": self._platform.kafka,
            "FAULTLINE_DATABASE_URL": self._platform.database_url,
            "MLFLOW_TRACKING_URI": self._platform.mlflow,
            "FAULTLINE_STATE_DIR": str(self._folder / "state"),
            f"FAULTLINE_{name.upper()}_PORT": str(port),
            "FAULTLINE_PREDICTOR_MODEL_POLL_S": "0.5",
            "FAULTLINE_PREDICTOR_COMPARISON_S": "0.5",
            "OMP_NUM_THREADS": "1",
            **settings,
        }
        command = [sys.executable, "-m", *_MODULES[name]]
        with ExitStack() as open_:
            log = open_.enter_context((self._folder / f"{name}.log").open("ab"))
            process = subprocess.Popen(command, env=environment, stderr=log)
            open_.callback(process.wait, 30)
            open_.callback(process.kill)
            http = open_.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10.0)
            )
            running = Running(process, http)
            _until(running.ready, f"a {name} that is ready")
            yield running


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(_LONGEST_S))


@pytest.fixture(scope="session")
def until() -> Until:
    return _until


@pytest.fixture(scope="module")
def platform_stack(
    new_platform: Callable[[], AbstractContextManager[Stack]],
) -> Iterator[Stack]:
    """One for each module: none has to work off what others left in the queue and the topics."""
    with new_platform() as stack:
        yield stack


@pytest.fixture(scope="module")
def platform(platform_stack: Stack) -> Endpoints:
    """Addresses of the module's Kafka, PostgreSQL (migrations not applied) and MLflow."""
    return platform_stack.endpoints


@pytest.fixture
def services(platform: Endpoints, tmp_path: Path) -> Services:
    return Services(platform, tmp_path)


@pytest.fixture(scope="module")
def broker(platform: Endpoints) -> Iterator[KafkaBroker]:
    """The module's Kafka with all topics, on a database that is migrated."""
    # Here, as the warnings of kafka-python's own are let pass only when the tests are configured.
    from faultline.adapters.kafka import KafkaBroker  # noqa: PLC0415

    migrate(platform.database_url)
    broker = KafkaBroker(KafkaSettings(kafka_bootstrap_servers=platform.kafka), "test")
    broker.create_topics(ALL)
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def registry(platform: Endpoints) -> ModelRegistry:
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

    return MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
