"""What the operating system counts and measures, read with psutil.

It knows no rates and no time: `faultline.sources.host` makes readings of what is read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import psutil

_MIB = 1024.0 * 1024.0
_LOOPBACK = re.compile(r"lo\d*|Loopback.*", re.IGNORECASE)
# Already counted within user and nice.
_COUNTED_TWICE = frozenset({"guest", "guest_nice"})

# Reading of the host: (psutil's function, its field).
_COUNTERS = {
    "context_switches_per_s": ("cpu_stats", "ctx_switches"),
    "interrupts_per_s": ("cpu_stats", "interrupts"),
    "soft_interrupts_per_s": ("cpu_stats", "soft_interrupts"),
    "disk_read_bytes_per_s": ("disk_io_counters", "read_bytes"),
    "disk_write_bytes_per_s": ("disk_io_counters", "write_bytes"),
    "disk_reads_per_s": ("disk_io_counters", "read_count"),
    "disk_writes_per_s": ("disk_io_counters", "write_count"),
}
_NETWORK = {
    "network_received_bytes_per_s": "bytes_recv",
    "network_sent_bytes_per_s": "bytes_sent",
    "network_received_packets_per_s": "packets_recv",
    "network_sent_packets_per_s": "packets_sent",
}


class PsutilProbe:
    """The machine it runs on, through psutil. What a platform does not have is left out.

    Parameters
    ----------
    system
        psutil, or what has some of its functions.
    """

    def __init__(self, system: ModuleType | Any = psutil) -> None:
        self._system = system

    def cpu_seconds(self) -> list[Mapping[str, float]]:
        """Seconds spent per core and kind (user, system, idle, iowait, ...) since the start."""
        return [
            {kind: s for kind, s in core._asdict().items() if kind not in _COUNTED_TWICE}
            for core in self._read("cpu_times", percpu=True) or ()
        ]

    def counters(self) -> dict[str, float]:
        """Whatever only grows, under the name of its rate per second."""
        values: dict[str, float] = {}
        read = {function: self._read(function) for function, _ in _COUNTERS.values()}
        for name, (function, counted) in _COUNTERS.items():
            value = getattr(read[function], counted, None)
            if value is not None:
                values[name] = float(value)
        cards = self._read("net_io_counters", pernic=True) or {}
        # What a machine says to itself is no traffic of its network.
        outward = [card for name, card in cards.items() if not _LOOPBACK.fullmatch(name)]
        if outward:
            for name, counted in _NETWORK.items():
                values[name] = float(sum(getattr(card, counted) for card in outward))
        return values

    def gauges(self) -> dict[str, float]:
        """Whatever is measured as it is: load, memory in % and MiB, temperatures in deg C."""
        values: dict[str, float] = {}
        if load := self._read("getloadavg"):
            values["load_1m"], values["load_5m"] = float(load[0]), float(load[1])
        if (memory := self._read("virtual_memory")) is not None:
            values["memory_used_percent"] = float(memory.percent)
            values["memory_available_mib"] = memory.available / _MIB
        if (swap := self._read("swap_memory")) is not None and swap.total:
            values["swap_used_percent"] = float(swap.percent)
        for chip, readings in sorted((self._read("sensors_temperatures") or {}).items()):
            for number, reading in enumerate(readings):
                if reading.current is not None:
                    label = _plain(reading.label) or str(number)
                    values[f"temperature_{_plain(chip)}_{label}"] = float(reading.current)
        return values

    def _read(self, function: str, **arguments: Any) -> Any:
        """Call one of psutil's functions; None where the platform has or gives nothing.

        A container may hide the files that psutil reads, and old kernels have none of them.
        """
        call = getattr(self._system, function, None)
        if call is None:
            return None
        try:
            return call(**arguments)
        except (OSError, NotImplementedError, RuntimeError):
            return None


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
