"""Sets the stage: a home and ports of its own, the stack, the ways into it; and clears it all away.

The one place of the demonstration that knows which adapters are behind the ports.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from faultline import alarms, topics, verdicts
from faultline.adapters.clock import SystemClock
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.postgres import PostgresDatabase
from faultline.client import PredictorClient, TrainerClient
from faultline.demo.heard import HeardVerdicts
from faultline.demo.narrator import Narrator
from faultline.demo.parts import Parts
from faultline.demo.topic_watch import TopicWatch
from faultline.errors import Conflict
from faultline.local.home import Endpoints
from faultline.local.ports import Ports
from faultline.local.stack import OnProgress, Progress, Stack
from faultline.ports.registry import ModelRegistry
from faultline.settings import KafkaSettings, RegistrySettings
from faultline.sources.http import HttpSink
from faultline.sources.topic import TopicSink

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Startable(Protocol):
    """What the demonstration needs of a `faultline.local.stack.Stack`."""

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of the components."""
        ...

    def start(self, on_progress: OnProgress | None = None) -> None:
        """Start everything and return when all is healthy; or stop it again and raise."""
        ...

    def stop(self) -> int:
        """Stop everything; does nothing when nothing runs."""
        ...


@contextmanager
def home_folder(given: Path | None, keep: bool, narrator: Narrator) -> Iterator[Path]:
    """Provide the folder that the stack lives in.

    It is removed at the end, unless it is to be kept, or something failed: its logs say why.

    Parameters
    ----------
    given
        Must be empty or not there yet; None for a temporary one.

    Raises
    ------
    Conflict
        When the folder holds something already.
    """
    if given is None:
        home = Path(tempfile.mkdtemp(prefix="faultline-demo-"))
    else:
        home = given.expanduser().resolve()
        if home.exists() and (not home.is_dir() or any(home.iterdir())):
            raise Conflict(
                f"{home} is not an empty folder; the demonstration begins with nothing, so name "
                "another with --home"
            )
        home.mkdir(parents=True, exist_ok=True)
    try:
        yield home
    except Exception:
        narrator.say(f"the logs are kept in {home / 'logs'}")
        raise
    except BaseException:
        _remove(home)
        raise
    if keep:
        narrator.say(f"everything is kept; look at it again with: faultline up --home {home}")
    else:
        _remove(home)


def _remove(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running_stack(
    home: Path, narrator: Narrator, build: Callable[[Path, Ports], Startable] = Stack
) -> Iterator[Endpoints]:
    """Run everything on free ports, beside whatever else runs here, and stop it at the end.

    Parameters
    ----------
    home
        A folder that no other stack runs in.
    build
        Makes the stack, which does not run yet, from its home and ports.
    """
    stack = build(home, Ports.free())

    def tell(progress: Progress) -> None:
        if progress.state != "starting":
            narrator.say(
                f"{progress.component} {progress.state} after {progress.took_s:.1f} s "
                f"{progress.address}".rstrip()
            )

    # A start that fails stops what it began, but a second Ctrl-C breaks out of that.
    try:
        with narrator.step("Start Kafka, PostgreSQL, MLflow and the services"):
            stack.start(tell)
        yield stack.endpoints
    finally:
        _let_nothing_interrupt()
        with narrator.step("Stop everything"):
            stack.stop()


def _let_nothing_interrupt() -> None:
    """Once stopping has begun, a second Ctrl-C would only leave something running."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)


@contextmanager
def connected(endpoints: Endpoints, narrator: Narrator) -> Iterator[Parts]:
    """Connect to a running stack, and tell of alarms as they appear."""

    @cache
    def open_registry() -> ModelRegistry:
        from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

        return MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=endpoints.mlflow))

    with ExitStack() as closing:
        broker = KafkaBroker(
            KafkaSettings(kafka_bootstrap_servers=endpoints.kafka), client_id="faultline-demo"
        )
        closing.callback(broker.close)
        producer = broker.producer()
        database = PostgresDatabase(endpoints.database_url)
        closing.callback(database.dispose)
        heard = HeardVerdicts(SystemClock())
        for topic, hear in (
            (topics.ALARMS, lambda value: narrator.alarm(alarms.decode(value))),
            (topics.VERDICTS, lambda value: heard.hear(verdicts.decode(value))),
        ):
            closing.enter_context(TopicWatch(broker, topic, hear))
        yield Parts(
            http=closing.enter_context(HttpSink(endpoints.gateway)),
            topic=TopicSink(producer),
            producer=producer,
            store=database.fleet_store(),
            open_registry=open_registry,
            trainer=closing.enter_context(TrainerClient(endpoints.trainer)),
            predictor=closing.enter_context(PredictorClient(endpoints.predictor)),
            heard=heard,
        )


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
