from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

from faultline.sources.probe import PsutilProbe

Times = namedtuple("Times", ["user", "system", "idle", "guest"])
Network = SimpleNamespace


def card(received: int) -> Network:
    return Network(bytes_recv=received, bytes_sent=1, packets_recv=2, packets_sent=3)


def temperature(label: str, current: float) -> Any:
    return SimpleNamespace(label=label, current=current)


def test_this_machine_has_cores_and_memory() -> None:
    probe = PsutilProbe()
    assert all(seconds >= 0 for core in probe.cpu_seconds() for seconds in core.values())
    assert 0 < probe.gauges()["memory_used_percent"] < 100
    assert probe.counters()["context_switches_per_s"] > 0


def test_what_a_platform_does_not_have_is_left_out() -> None:
    probe = PsutilProbe(SimpleNamespace())
    assert (probe.cpu_seconds(), probe.counters(), probe.gauges()) == ([], {}, {})


def test_what_a_platform_refuses_to_tell_is_left_out() -> None:
    def refuse() -> None:
        raise PermissionError("/proc/stat")

    assert PsutilProbe(SimpleNamespace(cpu_stats=refuse)).counters() == {}


def test_a_machine_without_a_disk_has_no_disk_rates() -> None:
    assert PsutilProbe(SimpleNamespace(disk_io_counters=lambda: None)).counters() == {}


def test_no_swap_is_no_sensor() -> None:
    swap = SimpleNamespace(total=0, percent=0.0)
    assert PsutilProbe(SimpleNamespace(swap_memory=lambda: swap)).gauges() == {}


def test_guests_are_not_counted_twice() -> None:
    system = SimpleNamespace(cpu_times=lambda percpu: [Times(1.0, 2.0, 3.0, 0.5)])
    assert PsutilProbe(system).cpu_seconds() == [{"user": 1.0, "system": 2.0, "idle": 3.0}]


def test_what_a_machine_says_to_itself_is_no_network_traffic() -> None:
    cards = {"lo": card(1_000), "eth0": card(5), "wlan0": card(7)}
    system = SimpleNamespace(net_io_counters=lambda pernic: cards)
    assert PsutilProbe(system).counters()["network_received_bytes_per_s"] == 12.0


def test_a_temperature_is_called_by_its_chip_and_label() -> None:
    chips = {"coretemp": [temperature("Package id 0", 45.0), temperature("", 44.0)]}
    system = SimpleNamespace(sensors_temperatures=lambda: chips)
    assert PsutilProbe(system).gauges() == {
        "temperature_coretemp_package_id_0": 45.0,
        "temperature_coretemp_1": 44.0,
    }
