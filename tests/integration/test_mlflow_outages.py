"""MLflow away, hanging or failing: before a service starts, and while it works.

Between the services and the real MLflow is a gateway that does, on demand, what a sick server does.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from faultline import topics, verdicts
from faultline.adapters.clock import SystemClock
from faultline.adapters.memory import MemoryBroker, MemoryDatabase
from faultline.adapters.mlflow import MlflowRegistry
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.jobs import JobState, TrainingRequest
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading, encode_batch, make_reading
from faultline.settings import RegistrySettings
from services.predictor import assembly as predictor
from services.predictor.ports import Ports as PredictorPorts
from services.predictor.settings import PredictorSettings
from services.trainer import assembly as trainer
from services.trainer.settings import TrainerSettings
from tests.integration.versions import detector_with, write_version

pytestmark = pytest.mark.real

_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.02
_START_MS = 1_795_000_000_000
SICK = ["down", "hanging", "500"]


class Gateway(ThreadingHTTPServer):
    """Hands requests on to MLflow while it is well.

    Attributes
    ----------
    state
        ``well``, ``down`` (the connection ends unanswered), ``hanging`` (nothing is ever answered)
        or ``500``.
    falls_ill_at
        Part of a path: the first request for it, and all after it, meet `state` ``sickness``.
    """

    daemon_threads = True

    def __init__(self, mlflow: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mlflow = httpx.Client(base_url=mlflow, trust_env=False, timeout=30.0)
        self.state = "well"
        self.falls_ill_at: str | None = None
        self.sickness = ""
        self.turned_away = 0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def diagnosis(self, path: str) -> str:
        if self.falls_ill_at is not None and self.falls_ill_at in path:
            self.state, self.falls_ill_at = self.sickness, None
        return self.state

    def recover(self) -> None:
        self.state = "well"


class Handler(BaseHTTPRequestHandler):
    """One request; the connection ends with it, so that a new state holds at once."""

    server: Gateway

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        state = self.server.diagnosis(self.path)
        if state != "well":
            self.server.turned_away += 1
        if state == "down":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif state == "hanging":
            self.server.released.wait(_PATIENCE_S)
        elif state == "500":
            self._answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "disk full"}')
        else:
            kept = {"content-type", "range", "accept"}
            headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
            answer = self.server.mlflow.request(
                self.command, self.path, content=body, headers=headers
            )
            self._answer(answer.status_code, answer.content, answer.headers.get("content-type"))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the base's names

    def _answer(self, status: int, content: bytes, kind: str | None = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind or "application/octet-stream")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def gateway(platform: Endpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    # MLflow's client keeps these for the whole process: they are put back afterwards.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with Gateway(platform.mlflow) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield gateway
        finally:
            gateway.released.set()
            gateway.shutdown()
            thread.join()
            gateway.mlflow.close()


def until(done: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not done():
        assert time.monotonic() < deadline_s, f"in vain waited for {what}"
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def running(loops: list[Callable[[threading.Event], object]]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=run, args=(stop,)) for run in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(_PATIENCE_S)


class OneModel:
    """The registry without the models of other tests."""

    def __init__(self, registry: MlflowRegistry, name: str) -> None:
        self._registry = registry
        self._name = name

    def models(self) -> list[str]:
        return [name for name in self._registry.models() if name == self._name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)


class World:
    """A machine type of the test's own, with services on the gateway."""

    def __init__(self, gateway: Gateway, platform: Endpoints, folder: Path) -> None:
        self.kind = f"t{uuid4().hex[:12]}"
        self.name = model_name(self.kind)
        self.gateway = gateway
        self.folder = folder
        self.database = MemoryDatabase(SystemClock())
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.behind = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))
        self.seconds = 0

    def registry(self) -> Any:
        """Through the gateway, with a time-out of a second."""
        settings = RegistrySettings(MLFLOW_TRACKING_URI=self.gateway.url, mlflow_timeout_s=1.0)
        return OneModel(MlflowRegistry(settings), self.name)

    def predictor(self) -> predictor.Predictor:
        return predictor.assemble(
            PredictorSettings(state_dir=self.folder / "state", predictor_model_poll_s=0.1),
            PredictorPorts(
                broker=self.broker,
                registry=self.registry(),
                store=self.database.fleet_store(),
                comparisons=self.database.comparison_store(),
                drift=self.database.drift_log(),
                database=lambda: None,
                clock=SystemClock(),
            ),
        )

    def trainer(self) -> trainer.Trainer:
        registry = self.registry()
        return trainer.assemble(
            TrainerSettings(
                trainer_retry_s=0.05, trainer_evaluate_faults=False, trainer_niceness=0
            ),
            trainer.Ports(
                broker=self.broker,
                registry=registry,
                store=self.database.fleet_store(),
                queue=self.database.job_queue(),
                promotion_log=self.database.promotion_log(),
                gate_log=self.database.gate_log(),
                comparisons=self.database.comparison_store(),
                trigger_log=self.database.trigger_log(),
                retention=self.database.retention_store(),
                clock=SystemClock(),
                database=lambda: None,
                tracking=registry.ping,
                stream=lambda: None,
            ),
            draw=lambda folder, *_: (folder / "drawn.png").touch(),
        )

    def promote(self, boundary: float) -> str:
        """Register a version past the gateway, and put it into Production."""
        version = write_version(self.folder / f"{boundary}", self.kind, detector_with(boundary))
        tags = {"bundle_sha256": version.bundle_sha256, "gate": "passed"}
        made = self.behind.register(self.name, self.behind.log_run(version.run), tags, "A test's.")
        self.behind.promote(self.name, made.version)
        return made.version

    def store_history(self) -> None:
        random = np.random.default_rng(1)
        regime = (np.arange(300) // 25 % 2)[:, None]
        rows = random.normal([10.0, 50.0], [0.5, 1.0], (300, 2)) + regime * [4.0, 9.0]
        readings = [
            Reading(
                machine_id="pump-1",
                machine_type=self.kind,
                timestamp_ms=_START_MS + 1_000 * row,
                sensors=dict(zip(("flow", "heat"), line, strict=True)),
            )
            for row, line in enumerate(rows.tolist())
        ]
        batch = RecordBatch(offsets={}, readings=readings)
        self.database.record_store().record("test", batch, lambda _: None)

    def is_judged_by(self, version: str) -> bool:
        """Send a reading, and see which version says something of it."""
        self.seconds += 1
        one = make_reading("m", 1_000 * self.seconds, {"flow": 0.1, "heat": 0.1}, self.kind)
        producer = self.broker.producer()
        producer.send(topics.READINGS.name, b"m", encode_batch([one]))
        given: list[str | None] = []

        def is_said() -> bool:
            for value in self.broker.sent(topics.VERDICTS.name):
                batch = verdicts.decode(value.value)
                if batch.verdicts[-1].timestamp_ms == one.timestamp_ms:
                    given.append(batch.model_version)
            return bool(given)

        until(is_said, "a verdict")
        return given[0] == version


@pytest.fixture
def world(gateway: Gateway, platform: Endpoints, tmp_path: Path) -> World:
    return World(gateway, platform, tmp_path)


def assert_serving(http: TestClient) -> None:
    for probe in ("live", "ready"):
        answer = http.get(f"/health/{probe}")
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("sickness", SICK)
def test_a_predictor_goes_on_with_the_last_good_version(world: World, sickness: str) -> None:
    """In operation first, then after a restart; when MLflow is back the new version is followed."""
    first = world.promote(boundary=2.0)
    before = world.predictor()
    http = TestClient(before.app)
    with running([loop.run for loop in before.loops]):
        until(lambda: world.is_judged_by(first), "the first version")
        world.gateway.state = sickness
        second = world.promote(boundary=3.0)
        noticed = world.gateway.turned_away
        until(lambda: world.gateway.turned_away > noticed, "a look in vain")
        assert world.is_judged_by(first)
        assert_serving(http)

    after = world.predictor()
    http = TestClient(after.app)
    shown = http.get("/api/v1/model").json()["models"]
    assert [(one["version"], one["source"]) for one in shown] == [(first, "disk")]
    with running([loop.run for loop in after.loops]):
        noticed = world.gateway.turned_away
        until(lambda: world.gateway.turned_away > noticed, "a look in vain")
        assert world.is_judged_by(first)
        assert_serving(http)
        world.gateway.recover()
        until(lambda: world.is_judged_by(second), "the second version")


@pytest.mark.parametrize("sickness", SICK)
@pytest.mark.parametrize(
    "falls_ill_at", ["", "runs/create", "mlflow-artifacts", "model-versions/create"]
)
def test_a_trainer_waits_says_so_and_finishes_when_mlflow_is_back(
    world: World, sickness: str, falls_ill_at: str
) -> None:
    world.store_history()
    world.gateway.sickness, world.gateway.falls_ill_at = sickness, falls_ill_at
    made = world.trainer()
    http = TestClient(made.app)
    queue = world.database.job_queue()
    asked = TrainingRequest(machine_type=world.kind, hyperparameters={"k_max": 2})
    job_id = queue.submit(asked).job_id
    with running([made.worker.step]):
        until(
            lambda: "waiting (MLflow could not" in queue.get(job_id).progress, "a word of waiting"
        )
        assert http.get("/health/live").status_code == 200
        unready = http.get("/health/ready")
        assert unready.status_code == 503
        assert "MLflow could not answer" in unready.json()["checks"]["mlflow"]
        assert queue.get(job_id).state is JobState.RUNNING
        world.gateway.recover()
        until(lambda: queue.get(job_id).state is JobState.SUCCEEDED, "the end of the job")
    job = queue.get(job_id)
    assert (job.state, job.model_version) == (JobState.SUCCEEDED, "1")
    assert [one.version for one in world.behind.versions(world.name)] == ["1"]
    assert http.get("/health/ready").status_code == 200
