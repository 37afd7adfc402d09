from __future__ import annotations

import socket

import pytest

from faultline.errors import Conflict, Unavailable
from faultline.local.external import components, normalized, require_reachable
from faultline.local.home import External
from faultline.local.ports import HOST


@pytest.fixture
def silent_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_is_reached_through_the_driver_that_the_services_have(scheme: str) -> None:
    given = normalized(External(postgres=f"{scheme}://me:pw@db:5433/plant"))

    assert given.postgres == "postgresql+psycopg2://me:pw@db:5433/plant"


@pytest.mark.parametrize(
    "url", ["mysql://me:hush@db/plant", "me:hush@db", "postgresql://me:hush@db"]
)
def test_a_database_url_of_another_form_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(Conflict, match="--postgres is not of the form") as caught:
        normalized(External(postgres=url))

    assert "hush" not in str(caught.value)


def test_several_brokers_may_be_given() -> None:
    assert normalized(External(kafka="a:9092, b:9092")).kafka == "a:9092,b:9092"


@pytest.mark.parametrize("broker", ["a", "a:", "a:x", "a:9092,b"])
def test_a_broker_without_a_port_is_refused(broker: str) -> None:
    with pytest.raises(Conflict, match="HOST:PORT"):
        normalized(External(kafka=broker))


def test_a_tracking_server_must_be_a_web_address() -> None:
    with pytest.raises(Conflict, match=r"http://HOST:PORT"):
        normalized(External(mlflow="localhost:5000"))


def test_every_silent_server_is_named_without_its_password(silent_port: int) -> None:
    external = External(
        kafka=f"{HOST}:{silent_port}",
        postgres=f"postgresql+psycopg2://me:hush@{HOST}:{silent_port}/plant",
        mlflow=f"http://{HOST}:{silent_port}",
    )

    with pytest.raises(Unavailable) as caught:
        require_reachable(components(external))

    said = str(caught.value)
    assert all(option in said for option in ("--kafka", "--postgres", "--mlflow"))
    assert "hush" not in said
