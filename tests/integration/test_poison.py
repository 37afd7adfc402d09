"""Bad messages and hostile names on the real Kafka and PostgreSQL: told once each, and harmless."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

import psutil
import pytest

from faultline import topics
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.postgres import PostgresDatabase
from faultline.dead_letters import Letter, letters_of
from faultline.errors import FaultlineError, NotFound
from faultline.events import model_name
from faultline.local.home import Endpoints
from faultline.ports.registry import ModelRegistry
from faultline.readings import Reading, encode_batch, make_reading
from tests.integration.versions import detector_with, write_version

if TYPE_CHECKING:
    from tests.integration.conftest import Running, Services, Until

pytestmark = pytest.mark.real

_MIB = 1024 * 1024
# The broker takes a MiB with the message's frame.
_LARGEST_BYTES = 1_000_000
_LARGE_MESSAGES = 60
_DEEP = 10_000


def _message(**changed: object) -> bytes:
    """A reading that would be good, but for what is changed."""
    good = {"machine_id": "p", "timestamp": "2026-11-21T08:00:00Z", "sensors": {"flow": 0.1}}
    return json.dumps({**good, **changed}).encode()


def _with_sensor(text: bytes) -> bytes:
    return _message().replace(b"0.1", text)


POISON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "message"),
    "not JSON": (b"not json", "message"),
    "two messages": (_message() + _message(), "message"),
    "UTF-8 cut off": (_message()[:20] + b"\xc3", "message"),
    "UTF-8 cut off in a name": (_message().replace(b"flow", b"fl\xc3"), "message"),
    "NUL bytes": (b"\0" * 100, "message"),
    "a NUL byte in JSON": (_message().replace(b"flow", b"fl\0w"), "message"),
    "a NUL in the machine": (_message(machine_id="p\0"), "machine_id"),
    "NaN": (_with_sensor(b"NaN"), "message"),
    "Infinity": (_with_sensor(b"Infinity"), "message"),
    "minus Infinity": (_with_sensor(b"-Infinity"), "message"),
    "a lone surrogate": (_message().replace(b"flow", b"\\ud800"), "message"),
    "a lone surrogate in bytes": (_message().replace(b"flow", b"\xed\xa0\x80"), "message"),
    "deep arrays": (b"[" * _DEEP + b"]" * _DEEP, "message"),
    "deep objects": (b'{"a":' * _DEEP + b"1" + b"}" * _DEEP, "message"),
    "a deep sensor": (_with_sensor(b"[" * _DEEP + b"]" * _DEEP), "message"),
    "a deep stranger": (_message()[:-1] + b',"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}", "message"),
    "as much as the broker takes": (b"[" + b" " * (_LARGEST_BYTES - 2) + b"]", "message"),
    "an empty array": (b"[]", "message"),
    "a number": (b"5", "message"),
    "10^400": (_with_sensor(b"1" + b"0" * 400), "sensors"),
    "a sum over 1e308": (_message(sensors={"a": 1e308, "b": 1e308}), "sensors"),
    "a boolean": (_with_sensor(b"true"), "sensors"),
    "no sensors": (_message(sensors={}), "sensors"),
    "5,000 sensors": (_message(sensors={f"s{n}": n for n in range(5_000)}), "sensors"),
    "a line's end in the machine": (_message(machine_id="p\nq"), "machine_id"),
    "an escape sequence in the machine": (_message(machine_id="p\x1b[2J"), "machine_id"),
    "text turned around in the machine": (_message(machine_id="p\u202eq"), "machine_id"),
    "no machine": (_message(machine_id=""), "machine_id"),
    "a machine too long": (_message(machine_id="p" * 129), "machine_id"),
    "a boolean time": (_message(timestamp=True), "timestamp"),
    "10^400 as time": (_message(timestamp=10**400), "timestamp"),
    "year 1": (_message(timestamp="0001-01-01T00:00:00+23:59"), "timestamp"),
    "year 9999": (_message(timestamp="9999-12-31T23:59:59-23:59"), "timestamp"),
    "a machine type as a path": (_message(machine_type="../pump"), "machine_type"),
}
HOSTILE = (
    'it\'s "quoted"',
    "'; DROP TABLE readings; --",
    "<script>alert(1)</script>",
    "🔥 泵 ünï",
    "../../etc/passwd",
    "..",
    "a/b?c=d#e%2F&f",
    "back\\slash",
    "${jndi:x} {{7*7}} %s%n $(id) `id`",
    " ",
    "null",
)


class World:
    """A machine type with a version in Production, and what the services make of its readings."""

    def __init__(
        self,
        platform: Endpoints,
        broker: KafkaBroker,
        database: PostgresDatabase,
        until: Until,
        kind: str,
    ) -> None:
        self.kind = kind
        self.broker = broker
        self.store = database.fleet_store()
        self.until = until
        self._kafka = platform.kafka
        self._producer = broker.producer()
        self.services: list[Running] = []

    def send(self, values: Sequence[bytes], key: str) -> None:
        for value in values:
            self._producer.send(topics.READINGS.name, key.encode(), value).wait(60.0)

    def send_readings(self, machine: str, seconds: range) -> None:
        self.send([encode_batch([self.reading(machine, each) for each in seconds])], machine)

    def reading(self, machine: str, second: int) -> Reading:
        return make_reading(machine, second * 1_000, {"flow": 0.1, "heat": 0.2}, self.kind)

    def wait_until_judged(self, machine: str, readings: int) -> None:
        """Wait until so many readings and verdicts of a machine are stored, and judged normal."""

        def stored() -> tuple[int, int]:
            for service in self.services:
                assert service.process.poll() is None, f"a service ended: {service.url}"
            try:
                times = len(self.store.readings(machine).timestamps_ms)
            except NotFound:
                return 0, 0
            return times, len(self.store.verdicts(machine, limit=1_000))

        self.until(lambda: stored() == (readings, readings), f"{readings} readings of {machine}")
        [newest] = self.store.verdicts(machine, limit=1)
        assert newest.verdict.status == "normal"

    def letters(self, key: str) -> Iterator[Letter]:
        return (each for each in letters_of(self.broker) if each.key == key.encode())

    def dlq(self, *arguments: str, status: int = 0) -> str:
        """Run the command, as a user does."""
        command = [sys.executable, "-m", "faultline", "dlq", *arguments, "--kafka", self._kafka]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ran.returncode == status, ran.stdout + ran.stderr
        return ran.stdout


@pytest.fixture
def world(
    platform: Endpoints,
    broker: KafkaBroker,
    registry: ModelRegistry,
    tmp_path: Path,
    until: Until,
) -> Iterator[World]:
    kind = f"it-{uuid4().hex[:12]}"
    made = write_version(tmp_path / "artifacts", kind, detector_with(4.0))
    run_id = registry.log_run(made.run)
    tags = {"bundle_sha256": made.bundle_sha256}
    version = registry.register(model_name(kind), run_id, tags, "A test's.")
    registry.promote(model_name(kind), version.version)
    database = PostgresDatabase(platform.database_url)
    yield World(platform, broker, database, until, kind)
    database.dispose()


@pytest.fixture
def running(world: World, services: Services) -> Iterator[tuple[Running, Running]]:
    """The recorder and the predictor, which has the version."""
    with ExitStack() as started:
        recorder = started.enter_context(services.running("recorder", {}))
        predictor = started.enter_context(services.running("predictor", {}))
        world.until(lambda: predictor.version(world.kind) == "1", "the version")
        world.services += (recorder, predictor)
        yield recorder, predictor


def _resident_bytes(service: Running) -> int:
    return int(psutil.Process(service.process.pid).memory_info().rss)


def test_poison_is_told_once_each_between_good_readings_that_are_stored_and_judged(
    world: World, running: tuple[Running, Running]
) -> None:
    machine = f"{world.kind}/1"
    world.send_readings(machine, range(10))
    world.wait_until_judged(machine, 10)

    world.send([value for value, _ in POISON.values()], machine)
    with pytest.raises(FaultlineError, match="too large"):
        world.send([b"x" * (10 * _MIB)], machine)
    world.send_readings(machine, range(10, 20))
    world.wait_until_judged(machine, 20)

    letters = list(world.letters(machine))
    told = {letter.value: letter.reason for letter in letters}
    assert {name: told.get(value) for name, (value, _) in POISON.items()} == {
        name: f"invalid_{field}" for name, (_, field) in POISON.items()
    }
    assert len(letters) == len(POISON)
    assert all(letter.detail and letter.source for letter in letters)
    assert all(service.ready() for service in running)


def test_much_poison_does_not_grow_in_memory(
    world: World, running: tuple[Running, Running]
) -> None:
    machine = f"{world.kind}/1"
    rounds = 0

    def poison() -> list[int]:
        nonlocal rounds
        rounds += 1
        small = [value for value, _ in POISON.values() if len(value) < _LARGEST_BYTES]
        large = [b"[%d" % number + b" " * _LARGEST_BYTES for number in range(_LARGE_MESSAGES)]
        world.send([*small, *large], machine)
        world.send_readings(machine, range(10 * rounds, 10 * rounds + 10))
        world.wait_until_judged(machine, 10 * rounds)
        return [_resident_bytes(service) for service in running]

    # What a first round takes (buffers of the client, arenas) is not given back.
    poison()
    before = poison()
    after = poison()
    grown = [(end - start) / _MIB for start, end in zip(before, after, strict=True)]
    assert max(grown) < _LARGE_MESSAGES * _LARGEST_BYTES / _MIB / 2
    assert sum(1 for _ in world.letters(machine)) == rounds * (len(POISON) - 1 + _LARGE_MESSAGES)


def test_machines_with_hostile_names_are_stored_judged_and_shown_as_any(
    world: World, running: tuple[Running, Running]
) -> None:
    _, predictor = running
    machines = [f"{world.kind}{name}" for name in HOSTILE] + list(HOSTILE)
    for machine in machines:
        world.send_readings(machine, range(10))
    for machine in machines:
        world.wait_until_judged(machine, 10)

    listed = predictor.http.get("/api/v1/machines", params={"machine_type": world.kind}).json()
    assert sorted(each["machine_id"] for each in listed["machines"]) == sorted(machines)
    for machine in machines:
        encoded = quote(machine, safe="").replace(".", "%2E")
        one = predictor.http.get(f"/api/v1/machines/{encoded}")
        assert (one.status_code, one.json()["machine_id"]) == (200, machine)
        judged = predictor.http.get(f"/api/v1/machines/{encoded}/verdicts")
        assert (judged.status_code, len(judged.json()["verdicts"])) == (200, 10)
    assert all(list(world.letters(machine)) == [] for machine in machines)


def test_letters_are_listed_mended_and_replayed_by_the_command(
    world: World, running: tuple[Running, Running], tmp_path: Path
) -> None:
    machine = f"{world.kind}/1"
    chosen = ("--machine", machine)
    world.send_readings(machine, range(10))
    half_bad = [world.reading(machine, each) for each in (10, 11)]
    bad = encode_batch(half_bad).replace(b'"heat":0.2', b'"heat":"warm"', 1)
    again = make_reading(machine, 5_000, {"flow": 9.0, "heat": 9.0}, world.kind)
    world.send([bad, b"\xff\x1b[2J", encode_batch([again])], machine)
    world.wait_until_judged(machine, 11)
    world.until(lambda: len(list(world.letters(machine))) == 3, "the conflict")

    listed = json.loads(world.dlq("list", *chosen, "--json"))["letters"]
    assert Counter(each["reason"] for each in listed) == Counter(
        ("invalid_sensors", "invalid_message", "conflict")
    )
    numbers = {each["reason"]: each["letter"] for each in listed}
    assert r"\xff\x1b[2J" in world.dlq("show", str(numbers["invalid_message"]))
    world.dlq("replay", *chosen, status=1)

    file = tmp_path / "letters.ndjson"
    world.dlq("export", str(file), *chosen, "--reason", "invalid_sensors")
    file.write_text(file.read_text().replace('"warm"', "0.2"))
    dry = json.loads(world.dlq("replay", "--from", str(file), "--dry-run", "--json"))
    assert (dry["sent_readings"], dry["still_refused"]) == (1, 0)
    for _ in range(2):
        world.dlq("replay", "--from", str(file))
        world.until(lambda: len(world.store.readings(machine).timestamps_ms) == 12, "the reading")
    assert "left out 1 conflicts" in world.dlq("replay", *chosen, "--reason", "conflict")
    world.dlq("replay", *chosen, "--conflicts", "--reason", "conflict")
    world.until(lambda: len(list(world.letters(machine))) == 4, "the conflict once more")
    *_, last = world.letters(machine)
    assert (last.reason, last.replayed_from) == ("conflict", numbers["conflict"])
    assert len(world.store.readings(machine).timestamps_ms) == 12
