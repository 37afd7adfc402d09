from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from faultline.local.ports import HOST, Ports, PortsBusy, busy_ports, is_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_base_gives_eight_ports_in_a_row_beginning_with_the_predictor() -> None:
    ports = Ports.from_base(20_000)

    assert list(ports.named().items()) == [
        ("predictor", 20_000),
        ("gateway", 20_001),
        ("trainer", 20_002),
        ("recorder", 20_003),
        ("mlflow", 20_004),
        ("kafka", 20_005),
        ("kafka_controller", 20_006),
        ("postgres", 20_007),
    ]


@pytest.mark.parametrize("base", [0, 1023, 65_529, 70_000])
def test_a_base_whose_row_does_not_fit_is_refused(base: int) -> None:
    with pytest.raises(PortsBusy, match="between 1024 and 65528"):
        Ports.from_base(base)


def test_free_ports_are_free_and_distinct() -> None:
    ports = Ports.free().named()

    assert len(set(ports.values())) == len(ports)
    assert all(is_free(port) for port in ports.values())


def test_a_taken_port_is_named_with_its_component_and_holder(taken: int) -> None:
    [busy] = busy_ports({"kafka": taken})

    assert (busy.component, busy.port) == ("kafka", taken)
    assert f"pid {os.getpid()} " in busy.holder


def test_the_complaint_says_what_to_set_instead(taken: int) -> None:
    with pytest.raises(PortsBusy, match=rf"(?s)port {taken} for kafka is taken by .*--port-base"):
        require_free({"kafka": taken, "gateway": Ports.free().gateway})


def test_all_taken_ports_are_named_at_once_each_on_a_line_of_its_own(taken: int) -> None:
    with socket.create_server((HOST, 0)) as second:
        other = second.getsockname()[1]
        with pytest.raises(PortsBusy, match=rf"{taken} for kafka .*\n  port {other} for mlflow"):
            require_free({"kafka": taken, "mlflow": other})


def test_a_port_that_only_lingers_after_a_connection_counts_as_free() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((HOST, port))
        accepted, _ = server.accept()
        # Whoever closes first keeps the pair in TIME_WAIT: here, as after a stop, the server.
        accepted.close()
        client.close()

    assert is_free(port)
