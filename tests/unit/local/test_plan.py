from __future__ import annotations

from pathlib import Path

import pytest

from faultline.errors import NotFound
from faultline.local import plan, postgres, services
from faultline.local.home import External, Home
from faultline.local.ports import Ports

BROKER = External(kafka="broker:9092")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path, {})
    made.create()
    return made


def test_each_component_comes_after_those_that_it_needs(home: Home) -> None:
    seen: set[str] = set()
    for part in plan.components(home, Ports(), plan.ALL, External()):
        assert seen.issuperset(part.needs), part.name
        seen.add(part.name)


def test_a_choice_of_components_keeps_their_order() -> None:
    assert plan.chosen({"mlflow", "kafka"}) == ("kafka", "mlflow")


def test_an_unknown_component_is_named() -> None:
    with pytest.raises(NotFound, match="'zookeeper'"):
        plan.chosen({"zookeeper"})


def test_no_password_is_on_a_command_line(home: Home) -> None:
    parts = plan.components(home, Ports(), plan.ALL, External())
    secret = postgres.password(home)

    commands = [" ".join(part.program.command) for part in parts if part.program]
    assert not [command for command in commands if secret in command]


def test_the_password_is_the_same_at_the_next_start(home: Home) -> None:
    first, second = (plan.endpoints(home, Ports(), External()) for _ in range(2))

    assert first.database_url == second.database_url


def test_a_given_server_is_used_instead_of_an_embedded_one(home: Home) -> None:
    [kafka] = plan.components(home, Ports(), ["kafka"], BROKER)

    assert kafka.is_external
    assert plan.endpoints(home, Ports(), BROKER).kafka == "broker:9092"


def test_a_given_server_needs_no_port_of_this_machine(home: Home) -> None:
    parts = plan.components(home, Ports(), plan.ALL, BROKER)

    assert set(plan.ports_used(Ports(), parts)) == {
        "postgres",
        "mlflow",
        "recorder",
        "gateway",
        "trainer",
        "predictor",
    }


def test_kafka_needs_a_second_port_for_its_controller(home: Home) -> None:
    parts = plan.components(home, Ports(), ["kafka"], External())

    assert plan.ports_used(Ports(), parts) == {"kafka": 9092, "kafka's controller": 9093}


def test_mlflow_stays_out_of_a_database_that_was_given_for_faultline(home: Home) -> None:
    given = External(postgres="postgresql+psycopg2://me@db/plant")

    backend = plan.environment(home, Ports(), plan.ALL, given)["MLFLOW_BACKEND_STORE_URI"]
    assert backend.startswith("sqlite:///")


def test_mlflow_has_a_database_of_its_own_in_the_embedded_server(home: Home) -> None:
    backend = plan.environment(home, Ports(), plan.ALL, External())["MLFLOW_BACKEND_STORE_URI"]

    assert backend.endswith("@127.0.0.1:15432/mlflow")


def test_the_services_are_told_their_addresses_by_environment(home: Home) -> None:
    environment = plan.environment(home, Ports.from_base(20_000), plan.ALL, BROKER)

    assert environment["FAULTLINE_KAFKA_BOOTSTRAP_SERVERS"] == "broker:9092"
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:20004"
    assert environment["FAULTLINE_STATE_DIR"] == str(home.state)
    assert environment["FAULTLINE_PREDICTOR_PORT"] == "20000"
    assert environment["FAULTLINE_RECORDER_PORT"] == "20003"


def environment_from(base: dict[str, str], home: Home) -> dict[str, str]:
    return services.environment(home, Ports(), plan.endpoints(home, Ports(), External()), base)


def test_what_the_caller_set_reaches_the_services(home: Home) -> None:
    assert (
        environment_from({"FAULTLINE_LOG_LEVEL": "debug"}, home)["FAULTLINE_LOG_LEVEL"] == "debug"
    )


def test_a_proxy_for_the_outside_is_not_asked_for_this_machine(home: Home) -> None:
    environment = environment_from({"NO_PROXY": "intranet"}, home)

    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_compiled_files_stay_away_from_the_sources_where_that_was_asked_for(home: Home) -> None:
    environment = environment_from({"PYTHONDONTWRITEBYTECODE": "1"}, home)

    assert "PYTHONDONTWRITEBYTECODE" not in environment
    assert environment["PYTHONPYCACHEPREFIX"].endswith("faultline/pycache")


def test_the_documentation_names_the_file_of_the_password(home: Home) -> None:
    postgres.password(home)
    [file] = home.config.iterdir()
    page = Path(__file__).parents[3] / "docs" / "data.md"
    assert f"cat .faultline/config/{file.name})" in page.read_text(encoding="utf-8")
