"""A real Mosquitto beside the real Kafka, and those who publish to it."""

from __future__ import annotations

import gc
import os
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from faultline import topics
from faultline.dead_letters import Letter, letters_of
from faultline.local.ports import Ports
from faultline.local.stack import Stack
from faultline.ports.broker import Broker, Partition
from faultline.readings import Reading, decode
from faultline.settings import KafkaSettings

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
_PATIENCE_S = 60.0


class Mosquitto:
    """An MQTT broker on a port of its own, which can be stopped and started.

    Parameters
    ----------
    lines
        More of its configuration.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        program = shutil.which("mosquitto", path=_PATH)
        if program is None:
            pytest.skip("needs the program mosquitto (Debian: apt-get install mosquitto)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._log = folder / "mosquitto.log"
        config = folder / "mosquitto.conf"
        own = [
            f"listener {self.port} 127.0.0.1",
            # As root it would become another user, who may not read the test's folder.
            f"user {pwd.getpwuid(os.getuid()).pw_name}",
            "allow_anonymous true",
            "max_queued_messages 0",
        ]
        config.write_text("\n".join([*own, *lines, ""]))
        self._command = [program, "-c", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Publisher:
    """Publishes at QoS 1."""

    def __init__(self, port: int) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2)
        # It refuses to publish while there is no connection.
        self._connected = threading.Event()
        self._client.on_connect = lambda *_: self._connected.set()
        self._client.on_disconnect = lambda *_: self._connected.clear()
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, *messages: tuple[str, str | bytes], retain: bool = False) -> None:
        """Return when the MQTT broker has them."""
        assert self._connected.wait(_PATIENCE_S)
        for sent in [
            self._client.publish(topic, payload, qos=1, retain=retain)
            for topic, payload in messages
        ]:
            sent.wait_for_publish(_PATIENCE_S)
            assert sent.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Topic:
    """What has come to Kafka."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def readings(self, *machines: str) -> list[Reading]:
        return [
            reading
            for number in range(topics.READINGS.partitions)
            for message in self._broker.read(Partition(topics.READINGS.name, number))
            for reading in decode(message.value).readings
            if reading.machine_id in machines
        ]

    def identities(self, *machines: str) -> set[tuple[str, int]]:
        return {reading.identity for reading in self.readings(*machines)}

    def letters(self) -> list[Letter]:
        return list(letters_of(self._broker))


@pytest.fixture
def new_mosquitto(
    tmp_path: Path, until: Callable[[Callable[[], bool], str], None]
) -> Callable[..., AbstractContextManager[Mosquitto]]:
    @contextmanager
    def new(*lines: str) -> Iterator[Mosquitto]:
        mosquitto = Mosquitto(tmp_path, *lines)
        mosquitto.start()
        try:
            until(mosquitto.answers, "a Mosquitto that answers")
            yield mosquitto
        finally:
            mosquitto.stop()

    return new


@pytest.fixture
def mosquitto(
    new_mosquitto: Callable[..., AbstractContextManager[Mosquitto]],
) -> Iterator[Mosquitto]:
    # No bound of its own on what is in flight, so that the bridge's counts.
    with new_mosquitto("max_inflight_messages 0") as mosquitto:
        yield mosquitto


@pytest.fixture
def publisher(mosquitto: Mosquitto) -> Iterator[Publisher]:
    publisher = Publisher(mosquitto.port)
    yield publisher
    publisher.close()


@pytest.fixture(scope="module")
def platform_stack(module_home: Path) -> Iterator[Stack]:
    """Kafka is all that the bridge needs."""
    with Stack(module_home, Ports.free(), ("kafka",)) as stack:
        yield stack


@pytest.fixture(scope="module")
def topic(platform_stack: Stack) -> Iterator[Topic]:
    # Here, as the warnings of kafka-python's own are let pass only when the tests are configured.
    from faultline.adapters.kafka import KafkaBroker  # noqa: PLC0415

    settings = KafkaSettings(kafka_bootstrap_servers=platform_stack.endpoints.kafka)
    broker = KafkaBroker(settings, "test")
    broker.create_topics(topics.ALL)
    yield Topic(broker)
    broker.close()
    # kafka-python leaves the sockets behind that were refused while Kafka was away: they go here,
    # where their warnings are let pass, and not when pytest has ended.
    gc.collect()
