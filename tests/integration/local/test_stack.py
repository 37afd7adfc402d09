"""The stack on real Kafka, PostgreSQL and MLflow: what is done to it, and what may befall it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from kafka import KafkaAdminClient

from faultline.errors import Conflict
from faultline.local.component import answers_http
from faultline.local.home import load_endpoints
from faultline.local.membership import members
from faultline.local.ports import Ports, PortsBusy
from faultline.local.stack import ComponentStatus, Stack, StackFailed

pytestmark = pytest.mark.real

DEADLINE_S = 60.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the deadline has passed"
        time.sleep(0.1)


def status_of(stack: Stack, name: str) -> ComponentStatus:
    return next(each for each in stack.status() if each.name == name)


def faultline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "faultline", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture
def stack(stack_home: Path) -> Iterator[Stack]:
    """A stack of its own for what hurts: the two that start quickly."""
    made = Stack(stack_home, Ports.free(), {"kafka", "postgres"})
    yield made
    made.stop()


def test_a_fresh_home_comes_up_healthy(platform_stack: Stack) -> None:
    states = {each.name: each.state for each in platform_stack.status()}

    assert states == {"kafka": "healthy", "postgres": "healthy", "mlflow": "healthy"}


def test_the_endpoints_answer(platform_stack: Stack) -> None:
    endpoints = platform_stack.endpoints
    admin = KafkaAdminClient(bootstrap_servers=endpoints.kafka)
    brokers = admin.describe_cluster()["brokers"]
    admin.close()
    with psycopg2.connect(endpoints.database_url.replace("+psycopg2", "")) as connection:
        version = connection.server_version
    connection.close()

    assert len(brokers) == 1
    assert version >= 180_000
    assert answers_http(f"{endpoints.mlflow}/health")


def test_other_commands_find_the_running_stack(platform_stack: Stack) -> None:
    assert load_endpoints(platform_stack.home.path, environ={}) == platform_stack.endpoints


def test_status_as_json_names_pid_and_address_of_every_component(platform_stack: Stack) -> None:
    done = faultline("status", "--json", "--home", str(platform_stack.home.path))
    document = json.loads(done.stdout)

    assert done.returncode == 0
    assert document["healthy"] is True
    for component in document["components"]:
        assert psutil.pid_exists(component["pid"])
        assert component["address"]


def test_up_where_a_stack_is_up_says_so_and_succeeds(platform_stack: Stack) -> None:
    done = faultline("up", "--detach", "--home", str(platform_stack.home.path))

    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        f"already up in {platform_stack.home.path}",
    )


@pytest.mark.parametrize("asked", [("--port-base", "29400"), ("--kafka", "127.0.0.1:1")])
def test_up_with_other_ports_or_servers_than_those_of_the_stack_that_runs_is_refused(
    platform_stack: Stack, asked: tuple[str, str]
) -> None:
    done = faultline("up", "--detach", "--home", str(platform_stack.home.path), *asked)

    assert done.returncode == 1
    assert "other ports or servers" in done.stderr


def test_a_second_stack_does_not_take_the_ports_of_the_first(
    platform_stack: Stack, tmp_path: Path
) -> None:
    second = Stack(tmp_path / "second", platform_stack.ports, {"kafka"})

    with pytest.raises(PortsBusy, match=rf"port {platform_stack.ports.kafka} for kafka"):
        second.start()
    assert members(second.home) == []


def test_a_home_holds_one_stack_at_a_time(platform_stack: Stack) -> None:
    with pytest.raises(Conflict, match="already"):
        Stack(platform_stack.home, Ports.free(), {"kafka"}).start()


def test_what_dies_is_started_again_and_counted(stack: Stack) -> None:
    stack.start()
    before = status_of(stack, "kafka")
    assert before.pid is not None

    os.kill(before.pid, signal.SIGKILL)
    until(lambda: status_of(stack, "kafka").pid not in (None, before.pid))
    until(lambda: status_of(stack, "kafka").state == "healthy")

    assert status_of(stack, "kafka").restarts == 1
    assert [e.how for e in stack.events() if e.kind == "died"] == ["SIGKILL"]


def test_a_restart_that_is_asked_for_is_not_counted(stack: Stack) -> None:
    stack.start()
    before = status_of(stack, "postgres")

    stack.restart("postgres")

    after = status_of(stack, "postgres")
    assert after.state == "healthy"
    assert after.pid != before.pid
    assert after.restarts == 0


def test_a_stop_leaves_no_process_and_no_trace_of_a_running_stack(stack: Stack) -> None:
    stack.start()
    assert len(members(stack.home)) >= 3

    stack.stop()

    assert members(stack.home) == []
    assert not stack.home.stack_file.exists()
    assert not stack.home.socket.exists()


def test_a_second_start_keeps_topics_and_tables(stack: Stack) -> None:
    stack.start()
    admin = KafkaAdminClient(bootstrap_servers=stack.endpoints.kafka)
    admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    url = stack.endpoints.database_url.replace("+psycopg2", "")
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    connection.close()
    stack.stop()

    stack.start()

    admin = KafkaAdminClient(bootstrap_servers=stack.endpoints.kafka)
    topics = admin.list_topics()
    admin.close()
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        row = cursor.fetchone()
    connection.close()
    assert "kept" in topics
    assert row == (42,)


def test_down_finds_what_a_killed_supervisor_has_left(stack: Stack) -> None:
    stack.start()
    kept = stack.home.read_stack()
    assert kept is not None
    os.kill(kept.supervisor_pid, signal.SIGKILL)
    until(lambda: not stack.is_running())
    left = faultline("status", "--home", str(stack.home.path))

    done = faultline("down", "--home", str(stack.home.path))

    assert left.returncode == 1
    assert "its processes are left" in left.stdout
    assert done.returncode == 0
    assert members(stack.home) == []


def test_a_component_that_cannot_start_shows_its_log_and_nothing_stays_up(stack: Stack) -> None:
    stack.start()
    stack.stop()
    (stack.home.data / "kafka" / "meta.properties").write_text("version=99\n")

    with pytest.raises(StackFailed, match=r"kafka does not stay up[\s\S]*kafka\.log:\n  "):
        stack.start()

    assert members(stack.home) == []
