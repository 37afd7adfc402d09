"""The whole system of one run, and the clients that use it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import httpx

from faultline import topics
from faultline.adapters.broker import open_broker
from faultline.adapters.mlflow import MlflowRegistry
from faultline.adapters.postgres import PostgresDatabase
from faultline.alarms import AlarmPolicy
from faultline.client import TrainerClient
from faultline.settings import KafkaSettings, RegistrySettings
from tests.history.arrivals import Arrivals, Identity
from tests.history.findings import Observed
from tests.history.observation import Observer
from tests.history.operations import History, Way
from tests.history.plan import plans
from tests.history.platform import Platform, running_platform
from tests.history.processes import PATIENCE_S, Service, until
from tests.history.versions import Versions
from tests.history.workload import Clients

MACHINES = 12
THREADS = 4
POLICY = AlarmPolicy()
_COMPONENTS = ("kafka", "postgres", "mlflow")
_COMMANDS = {
    "gateway": ("services.ingest", "gateway"),
    "recorder": ("services.ingest", "recorder"),
    "predictor": ("services.predictor",),
    "trainer": ("services.trainer",),
}
_RECORDED = (topics.READINGS, topics.VERDICTS, topics.ALARMS)


@dataclass(frozen=True)
class Scene:
    """What faults are done to, and what is looked at afterwards."""

    platform: Platform
    services: dict[str, Service]
    trainer: TrainerClient
    versions: Versions
    clients: Clients
    observer: Observer
    folder: Path

    @property
    def history(self) -> History:
        return self.clients.history

    def go_on(self, readings: int) -> None:
        """Wait until so many more readings are acknowledged."""
        history = self.history
        wanted = history.acknowledged + readings
        in_time = history.wait(lambda: history.acknowledged >= wanted, PATIENCE_S)
        self.clients.raise_errors()
        assert in_time, "clients do not get on"

    def be_noticed(self, way: Way = Way.HTTP) -> None:
        """Wait until a client does not know what came of something that it sent this way.

        Of a message to the topic it hears when the broker has it, or when it is given up.
        """
        unknown = self.history.unknown
        before = unknown[way]
        in_time = self.history.wait(lambda: unknown[way] > before, PATIENCE_S)
        self.clients.raise_errors()
        assert in_time, "no client has noticed"

    def start_another(self, name: str) -> Service:
        """A second one of a service, past the proxies."""
        service = self._another[name]
        service.restart()
        return service

    @cached_property
    def _another(self) -> dict[str, Service]:
        endpoints = self.platform.stack.endpoints
        return {
            name: Service(
                f"{name}-second",
                _COMMANDS[name],
                _environment(
                    endpoints.kafka,
                    endpoints.database_url,
                    endpoints.mlflow,
                    self.folder / "second",
                ),
                self.folder,
            )
            for name in ("recorder", "predictor")
        }

    def judges_by_the_live_version(self) -> bool:
        """Whether the predictor does."""
        answer = httpx.get(f"{self.services['predictor'].url}/api/v1/model", trust_env=False)
        models = answer.json()["models"] if answer.is_success else []
        return [one["version"] for one in models] == [self.versions.live]

    def arrived(self) -> Collection[Identity]:
        """The readings that are in the topic."""
        return Arrivals(self.observer.messages(topics.READINGS)).first.keys()

    def is_worked_off(self, name: str, readings: Collection[Identity]) -> bool:
        """Whether recorder or predictor have done their work on these readings."""
        if name == "predictor":
            return self.observer.has_verdicts(readings)
        return self.observer.has_stored(readings)

    def settle(self) -> Observed:
        """Wait until everything that was sent is judged and stored, and look."""
        for service in self.services.values():
            service.wait()
        until(self.judges_by_the_live_version, "the live version")
        self.clients.finish()
        arrived = self.arrived()
        until(lambda: self.is_worked_off("predictor", arrived), "a verdict on each reading")
        # Now it has nothing more to say.
        self.services["predictor"].stop()
        until(lambda: self.observer.is_recorded(_RECORDED), "the recorder at the end")
        return self.observer.observe(self.versions.name)

    def close(self) -> None:
        """End all processes."""
        for service in (*self.services.values(), *self._another.values()):
            service.kill()


@contextmanager
def running_scene(seed: int, folder: Path) -> Iterator[Scene]:
    """Start all of it, with one version live."""
    through = ("gateway", "recorder", "predictor")
    with ExitStack() as open_:
        platform = open_.enter_context(
            running_platform(_COMPONENTS, kafka_of=through, postgres_of=("recorder",), disk=True)
        )
        endpoints = platform.stack.endpoints
        broker = open_broker(KafkaSettings(kafka_bootstrap_servers=endpoints.kafka), "test")
        open_.callback(broker.close)
        broker.create_topics(topics.ALL)
        database = PostgresDatabase(endpoints.database_url)
        open_.callback(database.dispose)
        services = {
            name: Service(
                name,
                command,
                _environment(
                    _kafka(platform, name), _database(platform, name), endpoints.mlflow, folder
                ),
                folder,
            )
            for name, command in _COMMANDS.items()
        }
        machine_type = f"history-{uuid4().hex[:12]}"
        trainer = open_.enter_context(TrainerClient(services["trainer"].url))
        registry = MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=endpoints.mlflow))
        clients = Clients(
            History(),
            services["gateway"].url,
            broker.producer(),
            list(plans(seed, machine_type, MACHINES)),
        )
        scene = Scene(
            platform,
            services,
            trainer,
            Versions(registry, machine_type, folder),
            clients,
            Observer(broker, database),
            folder,
        )
        open_.callback(scene.close)
        for service in services.values():
            service.start()
        for service in services.values():
            service.wait()
        scene.versions.register()
        scene.versions.promote(trainer)
        until(scene.judges_by_the_live_version, "the first version")
        yield scene


def _kafka(platform: Platform, name: str) -> str:
    proxy = platform.to_kafka.get(name)
    return platform.stack.endpoints.kafka if proxy is None else f"127.0.0.1:{proxy.port}"


def _database(platform: Platform, name: str) -> str:
    if name in platform.to_postgres:
        return platform.database_url(name)
    return platform.stack.endpoints.database_url


def _environment(kafka: str, database_url: str, mlflow: str, folder: Path) -> dict[str, str]:
    return {
        "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "FAULTLINE_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": mlflow,
        "FAULTLINE_STATE_DIR": str(folder / "state"),
        # Noticed soon, so that a run has time for much.
        "FAULTLINE_KAFKA_SESSION_TIMEOUT_S": "6",
        "FAULTLINE_GATEWAY_ACKNOWLEDGE_S": "2",
        "FAULTLINE_PREDICTOR_MODEL_POLL_S": "0.5",
        "FAULTLINE_TRAINER_RECONCILE_S": "1",
        # A machine's readings of a batch are then one message of verdicts: cut as they were judged.
        "FAULTLINE_PREDICTOR_BATCH_MESSAGES": "40",
    }
