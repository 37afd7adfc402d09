"""docker-compose.yml itself, run under a project name and on ports of the tests' own.

One set of containers serves the whole session; every test leaves it healthy. Each uses a machine
type of its own, unless it says whose it takes.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import httpx
import pytest
from testcontainers.compose import DockerCompose

from faultline.client import PredictorClient, TrainerClient
from faultline.local.ports import is_free
from faultline.ports.jobs import Period
from faultline.readings import Reading, by_machine, chunked, encode_batch
from faultline.sources.plant import Plant

if TYPE_CHECKING:
    from kafka import KafkaProducer

ROOT = Path(__file__).parents[2]
PORTS = ("KAFKA_PORT", "PREDICTOR_PORT", "INGEST_PORT", "TRAINER_PORT", "MLFLOW_PORT")
LASTING = ("postgres", "kafka", "mlflow", "ingest", "recorder", "trainer", "predictor")
START_MS = 1_767_225_600_000

_PATIENCE_S = 120.0
_LOOK_EVERY_S = 0.25
_BUILD_AND_START_S = 900


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("compose"):
            # The first one also builds the images and starts everything.
            item.add_marker(pytest.mark.timeout(_BUILD_AND_START_S))


class Until(Protocol):
    def __call__(self, done: Callable[[], bool], what: str) -> None: ...


def _until(done: Callable[[], bool], what: str) -> None:
    """Look again and again; what is not there to be asked yet counts as not done."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            if done():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline_s, f"in vain waited {_PATIENCE_S:g} s for {what}"
        time.sleep(_LOOK_EVERY_S)


@dataclass(frozen=True)
class Containers:
    """The running project.

    Attributes
    ----------
    variables
        What its `.env` says.
    """

    project: DockerCompose
    variables: Mapping[str, str]

    def address(self, port: str) -> str:
        return f"127.0.0.1:{self.variables[port]}"

    def url(self, port: str) -> str:
        return f"http://{self.address(port)}"

    @contextmanager
    def with_variables(self, **variables: str) -> Iterator[Containers]:
        """The same project, as it would be with another `.env`."""
        env_files = self.project.env_file
        assert isinstance(env_files, list)
        with NamedTemporaryFile("w", suffix=".env") as file:
            file.writelines(f"{name}={value}\n" for name, value in variables.items())
            file.flush()
            project = DockerCompose(
                ROOT,
                compose_file_name=self.project.compose_file_name,
                env_file=[*env_files, file.name],
            )
            yield Containers(project, {**self.variables, **variables})

    def run(self, *arguments: str, check: bool = True) -> str:
        """`docker compose …`; returns what it prints."""
        done = subprocess.run(
            [*self.project.compose_command_property, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"docker compose {' '.join(arguments)}:\n{done.stderr}", pytrace=False)
        return done.stdout

    def up(self, *arguments: str) -> None:
        self.run("up", "--detach", "--wait", *arguments)

    def recover(self) -> None:
        """Start what was killed, and wait for those that suffered from it."""
        self.run("up", "--detach")
        _until(self.healthy, "all containers to be healthy again")

    def containers(self) -> list[dict[str, Any]]:
        """What there is, also what has ended."""
        lines = self.run("ps", "--all", "--format", "json").splitlines()
        return [json.loads(line) for line in lines]

    def healthy(self) -> bool:
        return all(
            one["Health"] == "healthy" if one["State"] == "running" else one["ExitCode"] == 0
            for one in self.containers()
        )

    def sql(self, query: str) -> str:
        command = ("psql", "--username=postgres", "--dbname=faultline", "--tuples-only")
        return self.run("exec", "-T", "postgres", *command, "--no-align", "-c", query).strip()

    def count(self, table: str, machine_type: str, which: str = "true") -> int:
        where = f"machine_type = '{machine_type}' AND {which}"
        return int(self.sql(f"SELECT count(*) FROM {table} WHERE {where}"))

    def producer(self, **settings: Any) -> KafkaProducer:
        """A producer on the host, as any other program would have one."""
        from kafka import KafkaProducer  # noqa: PLC0415 - warns where it is imported

        return KafkaProducer(
            bootstrap_servers=self.address("KAFKA_PORT"),
            bootstrap_timeout_ms=30_000,
            acks="all",
            retries=20,
            **settings,
        )

    def send(self, readings: Sequence[Reading], **settings: Any) -> None:
        """Write to the topic from the host; returns when the broker has all of them."""
        producer = self.producer(**settings)
        try:
            for machine_id, own in by_machine(readings).items():
                for batch in chunked(own, 100):
                    producer.send("sensor.readings", encode_batch(batch), machine_id.encode())
            producer.flush(60)
        finally:
            producer.close()

    def _has(self, table: str, machine_type: str, rows: int) -> bool:
        return self.count(table, machine_type) >= rows

    def wait_for(self, machine_type: str, readings: int) -> None:
        """Until so many readings are stored and judged; then there must be no more either."""
        for table in ("readings", "verdicts"):
            _until(
                partial(self._has, table, machine_type, readings),
                f"{readings} {table} of {machine_type}",
            )
        counts = [self.count(table, machine_type) for table in ("readings", "verdicts")]
        assert counts == [readings, readings]

    def wait_for_version(self, machine_type: str, version: str) -> None:
        with PredictorClient(self.url("PREDICTOR_PORT")) as predictor:
            _until(
                lambda: predictor.live_version(machine_type) == version,
                f"version {version} of {machine_type} in the predictor",
            )


@dataclass
class Fleet:
    """Pumps whose readings are sent in their order."""

    containers: Containers
    plant: Plant
    sent_rows: int = 0

    @property
    def machine_type(self) -> str:
        return self.plant.machine_type

    @property
    def sent(self) -> int:
        return self.sent_rows * self.plant.machines

    @property
    def now_ms(self) -> int:
        """Time of the next reading."""
        return START_MS + self.sent_rows * self.plant.interval_ms

    def send(self, rows: int, plant: Plant | None = None, **settings: Any) -> None:
        """Send the next rows, of the plant with its faults if given."""
        end_ms = self.now_ms + rows * self.plant.interval_ms
        readings = list((plant or self.plant).readings(self.now_ms, end_ms))
        self.containers.send(readings, **settings)
        self.sent_rows += rows

    def wait(self) -> None:
        self.containers.wait_for(self.machine_type, self.sent)

    def train(self, excluded: Sequence[Period] = ()) -> None:
        """Make a version of what is stored, without some times of it, the live one."""
        with TrainerClient(self.containers.url("TRAINER_PORT")) as trainer:
            asked = trainer.train(self.machine_type, excluded=excluded)
            job = trainer.wait(asked.job_id, timeout_s=180)
        assert (job.error, job.promoted) == (None, True), job.decision
        assert job.model_version is not None
        self.containers.wait_for_version(self.machine_type, job.model_version)


class NewFleet(Protocol):
    def __call__(self, machines: int = 4) -> Fleet: ...


@pytest.fixture(scope="session")
def until() -> Until:
    """Wait for a condition, with a deadline."""
    return _until


@pytest.fixture(scope="session")
def new_fleet(containers: Containers) -> NewFleet:
    """Machines of a type of their own, as many as are wanted; their load makes clear clusters."""

    def new(machines: int = 4) -> Fleet:
        kind = f"t{uuid4().hex[:8]}"
        plant = Plant(machines=machines, seed=7, machine_type=kind, period_rows=240)
        return Fleet(containers, plant)

    return new


@pytest.fixture
def fleet(new_fleet: NewFleet) -> Fleet:
    """Machines of a type of their own."""
    return new_fleet()


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine with compose, or the test is skipped."""
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        except FileNotFoundError:
            pytest.skip("there is no docker command on this machine")
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            why = str(getattr(error, "stderr", "") or error).strip().splitlines()
            pytest.skip(f"no Docker engine answers: {why[-1] if why else error}")


def _free_ports() -> dict[str, int]:
    candidates = random.sample(range(20_000, 32_000), 200)
    free = [port for port in candidates if is_free(port)]
    return dict(zip(PORTS, free, strict=False))


def write_env(folder: Path, **more: object) -> Path:
    """An `.env` as `make env` writes it, and more."""
    target = folder / ".env"
    command = [sys.executable, "deploy/write_env.py", ".env.example", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with target.open("a", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in more.items())
    return target


def read_env(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")


@pytest.fixture(scope="session")
def containers(
    engine: None, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Containers]:
    """All services, healthy; built from the source tree, gone with their volumes afterwards."""
    folder = tmp_path_factory.mktemp("compose")
    settings = folder / "settings.env"
    # Only the tests ask for trainings.
    settings.write_text("FAULTLINE_TRAINER_ON_DRIFT=false\n")
    env = write_env(
        folder,
        COMPOSE_PROJECT_NAME=f"faultline-test-{uuid4().hex[:8]}",
        FAULTLINE_TAG="test",
        FAULTLINE_SETTINGS_FILE=settings,
        **_free_ports(),
    )
    project = DockerCompose(
        ROOT, compose_file_name="docker-compose.yml", env_file=str(env), build=True
    )
    running = Containers(project, read_env(env))
    pytestconfig.stash[_RUNNING] = running
    try:
        # Not with --build: compose would look for images of the services that are not built.
        running.run("build", "--quiet")
        running.up()
        yield running
    finally:
        running.run("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "10")


_RUNNING = pytest.StashKey[Containers]()
_LOG_LINES = "60"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put into a failed test's report how every container is, and the log of those that are ill."""
    report = yield
    running = item.config.stash.get(_RUNNING, None)
    if report.failed and running is not None and item.get_closest_marker("compose"):
        report.sections.append(("containers", _condition(running)))
    return report


def _condition(running: Containers) -> str:
    found = running.containers()
    lines = [f"{one['Name']}: {one['Status']}" for one in found]
    ill = {
        one["Service"]
        for one in found
        if (one["Health"] not in {"", "healthy"})
        or (one["State"] != "running" and one["ExitCode"] != 0)
    }
    # Nothing looks ill: what is wrong is then most likely told by one of these.
    told = sorted(ill) or ["ingest", "recorder", "trainer", "predictor"]
    logs = running.run("logs", "--no-color", "--tail", _LOG_LINES, *told, check=False)
    return "\n".join([*lines, "", logs])
