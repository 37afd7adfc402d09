"""The rows of all machines whose values come one by one, and what of them outlives a crash.

Pure: the clock comes in.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from faultline.errors import InvalidReading
from faultline.readings import DEFAULT_MACHINE_TYPE, Reading, make_reading
from services.ingest.bridge.alignment import Grid, MachineRows, Sample, Taken
from services.ingest.bridge.payloads import Value

# A machine that was silent for so long begins anew.
FORGET_MS = 24 * 60 * 60 * 1000


class Machine(NamedTuple):
    """Whose rows they are."""

    machine_type: str
    machine_id: str


class Snapshot(msgspec.Struct):
    """A machine's rows as they are kept in Kafka, and for which bridge."""

    bridge: str
    machine: Machine
    rows: MachineRows


class Unreadable(NamedTuple):
    """A snapshot that cannot be taken up, and why."""

    key: str
    why: str


_decoder = msgspec.msgpack.Decoder(Snapshot)


def snapshot_key(bridge: str, machine: Machine) -> bytes:
    """The key that a machine's snapshots have."""
    return msgspec.json.encode([bridge, *machine])


class Fleet:
    """The machines, each with its rows.

    Parameters
    ----------
    grids
        By machine type; `default` is for those not named.
    max_machines
        Values of further ones are refused.
    """

    def __init__(self, grids: Mapping[str, Grid], max_machines: int) -> None:
        self._grids = grids
        self._max_machines = max_machines
        self._machines: dict[Machine, MachineRows] = {}
        self._changed: set[Machine] = set()
        self._ready: set[Machine] = set()
        # When to look at a machine next; of its entries in the queue the one noted here counts.
        self._queue: list[tuple[int, Machine]] = []
        self._wake: dict[Machine, int] = {}
        self._sweep_at_ms = 0

    def __len__(self) -> int:
        return len(self._machines)

    def take(self, value: Value, arrived_ms: int) -> Taken:
        """Take a value; one without a timestamp is of when it came.

        Raises
        ------
        InvalidReading
            When its machine would have more sensors than a reading may, or be one too many.
        """
        machine = Machine(value.machine_type, value.machine_id)
        rows = self._machines.get(machine) or self._new_rows()
        when = arrived_ms if value.timestamp_ms is None else value.timestamp_ms
        taken = rows.take(self._grid(machine), value.sensor, Sample(when, value.value), arrived_ms)
        self._machines[machine] = rows
        self._changed.add(machine)
        self._schedule(machine, rows)
        return taken

    def due(self, now_ms: int) -> list[Reading]:
        """Make the rows that are due by now, each machine's in their order."""
        while self._queue and self._queue[0][0] <= now_ms:
            at_ms, machine = heapq.heappop(self._queue)
            if self._wake.get(machine) == at_ms:
                self._ready.add(machine)
        made = []
        for machine in sorted(self._ready):
            rows = self._machines[machine]
            for instant, sensors in rows.due(self._grid(machine), now_ms):
                self._changed.add(machine)
                made.append(
                    make_reading(machine.machine_id, instant, sensors, machine.machine_type)
                )
            self._wake.pop(machine, None)
        ready, self._ready = self._ready, set()
        for machine in ready:
            self._schedule(machine, self._machines[machine])
        if now_ms >= self._sweep_at_ms:
            self._sweep(now_ms)
        return made

    def changed(self, bridge: str) -> list[tuple[bytes, bytes]]:
        """Keys and snapshots of the machines that changed since the last call.

        The snapshot of a machine that is forgotten is empty, which is a tombstone.
        """
        changed, self._changed = self._changed, set()
        return [
            (snapshot_key(bridge, machine), self._snapshot(bridge, machine))
            for machine in sorted(changed)
        ]

    def restore(
        self, bridge: str, snapshots: Iterable[tuple[bytes | None, bytes]], now_ms: int
    ) -> list[Unreadable]:
        """Take up where an earlier process of this bridge stood.

        Parameters
        ----------
        snapshots
            All there are, with their keys; the later of a machine after the earlier.

        Returns
        -------
        list of Unreadable
            Those left out: their machines begin anew.
        """
        unreadable = []
        for key, content in dict(snapshots).items():
            if not content:
                continue
            try:
                snapshot = _decoder.decode(content)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                unreadable.append(Unreadable((key or b"").decode("utf-8", "replace"), str(error)))
                continue
            if snapshot.bridge == bridge:
                self._machines[snapshot.machine] = snapshot.rows
        self._sweep(now_ms)
        for machine, rows in self._machines.items():
            self._schedule(machine, rows)
        return unreadable

    def _new_rows(self) -> MachineRows:
        if len(self._machines) >= self._max_machines:
            raise InvalidReading(
                f"machine_id: the bridge has {self._max_machines} machines already "
                "(FAULTLINE_MQTT_MACHINES)"
            )
        return MachineRows()

    def _snapshot(self, bridge: str, machine: Machine) -> bytes:
        rows = self._machines.get(machine)
        return b"" if rows is None else msgspec.msgpack.encode(Snapshot(bridge, machine, rows))

    def _grid(self, machine: Machine) -> Grid:
        return self._grids.get(machine.machine_type) or self._grids[DEFAULT_MACHINE_TYPE]

    def _schedule(self, machine: Machine, rows: MachineRows) -> None:
        if rows.is_due(self._grid(machine)):
            self._ready.add(machine)
        elif rows.pending:
            due_ms = min(each.due_ms for each in rows.pending.values())
            if due_ms < self._wake.get(machine, due_ms + 1):
                self._wake[machine] = due_ms
                heapq.heappush(self._queue, (due_ms, machine))

    def _sweep(self, now_ms: int) -> None:
        self._sweep_at_ms = now_ms + FORGET_MS // 24
        for machine, rows in list(self._machines.items()):
            if not rows.pending and rows.arrived_ms < now_ms - FORGET_MS:
                del self._machines[machine]
                self._wake.pop(machine, None)
                self._changed.add(machine)
