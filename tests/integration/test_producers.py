"""The examples of docs/producers.md, taken from the page and run against the real Kafka."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faultline import topics
from faultline.local.home import Endpoints
from faultline.local.kafka import cache_folder
from faultline.ports.broker import Message, Partition
from faultline.readings import Reading, decode

if TYPE_CHECKING:
    from faultline.adapters.kafka import KafkaBroker

pytestmark = pytest.mark.real

PAGE = Path(__file__).parents[2] / "docs" / "producers.md"
ADDRESS = "127.0.0.1:9092"
EXAMPLE = re.compile(r"^## ([^\n]+)\n.*?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = {name: (language, code) for name, language, code in EXAMPLE.findall(PAGE.read_text())}
JARS = cache_folder()
# The page's machine; librdkafka's own partitioner puts it elsewhere than ours does.
MACHINE = b"pump-03"


def command(language: str, code: str, folder: Path) -> Sequence[str]:
    if language == "java":
        [name] = re.findall(r"public class (\w+)", code)
        file = folder / f"{name}.java"
        run: Sequence[str] = ["java", "-cp", f"{JARS}/*", str(file)]
    else:
        file = folder / f"example.{language}"
        run = [sys.executable if language == "python" else "bash", str(file)]
    file.write_text(code)
    return run


def missing(name: str) -> str | None:
    """What an example needs and this machine does not have."""
    match name:
        case "kcat":
            return None if shutil.which("kcat") else "kcat is not installed"
        case "Java":
            if shutil.which("javac") is None:
                return "no JDK is installed"
            return None if any(JARS.glob("kafka-clients-*.jar")) else f"no kafka-clients in {JARS}"
        case "confluent-kafka":
            return None if find_spec("confluent_kafka") else "confluent-kafka is not installed"
    return None


def on_the_topic(broker: KafkaBroker) -> list[Message]:
    return [
        message
        for number in range(topics.READINGS.partitions)
        for message in broker.read(Partition(topics.READINGS.name, number))
    ]


@pytest.fixture(scope="module")
def own_partition(broker: KafkaBroker) -> Partition:
    """Where our own producers put the machine."""
    broker.producer().send(topics.READINGS.name, MACHINE, b"{}").wait(60)
    [message] = on_the_topic(broker)
    return message.partition


def test_the_page_has_an_example_for_each_client() -> None:
    assert list(EXAMPLES) == ["kafka-python", "confluent-kafka", "kcat", "Java"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_sends_a_reading_and_a_batch_to_the_machines_partition(
    name: str, platform: Endpoints, broker: KafkaBroker, own_partition: Partition, tmp_path: Path
) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    language, code = EXAMPLES[name]
    assert ADDRESS in code
    before = on_the_topic(broker)
    done = subprocess.run(
        command(language, code.replace(ADDRESS, platform.kafka), tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    sent = [message for message in on_the_topic(broker) if message not in before]
    assert {(one.key, one.partition) for one in sent} == {(MACHINE, own_partition)}
    assert [one.value.lstrip()[:1] for one in sent] == [b"{", b"["]
    decoded = [decode(one.value) for one in sent]
    assert [refusal for each in decoded for refusal in each.refusals] == []
    readings: list[Reading] = [reading for each in decoded for reading in each.readings]
    assert [reading.sensors["pressure"] for reading in readings] == [4.1, 4.2, None]
    times = [reading.timestamp_ms for reading in readings]
    assert times == sorted(set(times))
