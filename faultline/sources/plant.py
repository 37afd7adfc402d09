"""A plant of synthetic pumps: the same seed gives the same series at any time and in any cuts.

It knows its faults, and nothing of pacing or of where the readings go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from faultline.readings import Reading, make_reading
from faultline.sources.faults import PHYSICAL, Fault, FaultKind, apply, is_hard
from faultline.sources.noise import CHUNK_ROWS, FloatArray, generator
from faultline.sources.pump import DECIMALS, SENSOR_NAMES, SENSORS, Pump, load_cycle

# Series of a pump that belongs to its faults; the pump's own are numbered from 0.
_FAULT_NOISE = 100
# Rows of each machine made at once while streaming.
_BLOCK_ROWS = 256


@dataclass(frozen=True)
class Plant:
    """A fleet of pumps of one type, one reading per pump and interval.

    Rows are counted in intervals since the epoch, so a history read now and a stream that
    continues it later are one series.

    Attributes
    ----------
    machines
        How many; they are called ``{machine_type}-01`` and so on.
    period_rows
        Length of the load cycle.
    faults
        At most one at a time on a machine.
    """

    machines: int = 8
    seed: int = 0
    machine_type: str = "pump"
    interval_ms: int = 1_000
    period_rows: int = 60
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        for name, value, least in (
            ("machines", self.machines, 1),
            ("interval_ms", self.interval_ms, 1),
            ("period_rows", self.period_rows, 8),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must not be negative")
        # Readings are built without their checks further down: ids and type are checked here.
        make_reading(self.machine_ids[-1], 0, {"flow": 0.0}, self.machine_type)
        last: Fault | None = None
        for fault in sorted(self.faults, key=lambda fault: (fault.machine_id, fault.start_ms)):
            if fault.machine_id not in self.machine_ids:
                raise ValueError(f"{fault.kind} is on {fault.machine_id}, which the plant has not")
            if (
                last is not None
                and last.machine_id == fault.machine_id
                and fault.start_ms < last.end_ms
            ):
                raise ValueError(
                    f"{fault.machine_id}: {fault.kind} starts before {last.kind} has ended; "
                    "a machine has one fault at a time"
                )
            last = fault

    @cached_property
    def machine_ids(self) -> tuple[str, ...]:
        """The machines, in order."""
        digits = max(2, len(str(self.machines)))
        return tuple(
            f"{self.machine_type}-{number:0{digits}d}" for number in range(1, self.machines + 1)
        )

    @property
    def sensors(self) -> tuple[str, ...]:
        """Names of the sensors, in the order of the columns."""
        return SENSOR_NAMES

    def with_faults(self, faults: Sequence[Fault]) -> Plant:
        """Return the same plant with these faults instead."""
        return replace(self, faults=tuple(faults))

    def fault(
        self,
        kind: FaultKind,
        machine_id: str,
        start_ms: int,
        duration_ms: int,
        *,
        severity: float = 1.0,
        sensor: str | None = None,
        direction: int = 1,
    ) -> Fault:
        """Make a fault of one of the plant's machines, with the sensors that show it.

        A stuck sensor freezes with the value it has. For it to be seen that must be away from the
        sensor's mean over a load cycle: the start moves on, by less than a cycle, to the first
        row at full load or idle. Sensors that hardly follow the load show nothing when stuck; such
        a fault is declared hard.

        Parameters
        ----------
        sensor
            Which one, for a fault of one sensor; the flow if left out. The pump's own faults show
            on sensors of their own.

        Raises
        ------
        ValueError
            When the machine is not one of the plant's, the sensor is unknown or given for a fault
            that is not one sensor's, or severity, direction or duration are out of range.
        """
        number = self._number(machine_id)
        if kind in PHYSICAL:
            if sensor is not None:
                raise ValueError(f"{kind} is not a fault of one sensor; leave {sensor!r} out")
            sensors = tuple(PHYSICAL[kind])
        else:
            sensors = (sensor if sensor is not None else "flow",)
        hard = is_hard(kind, severity)
        if kind is FaultKind.STUCK_SENSOR:
            start_ms = self._away_from_mean(number, start_ms)
            hard = sensors[0] not in {"speed", "flow", "pressure_out", "motor_current"}
        return Fault(
            machine_id=machine_id,
            kind=kind,
            sensors=sensors,
            start_ms=start_ms,
            end_ms=start_ms + duration_ms,
            severity=severity,
            direction=direction,
            hard=hard,
        )

    def _number(self, machine_id: str) -> int:
        try:
            return self.machine_ids.index(machine_id) + 1
        except ValueError:
            raise ValueError(
                f"the plant has no machine {machine_id!r}; it has {self.machine_ids[0]} to "
                f"{self.machine_ids[-1]}"
            ) from None

    def _away_from_mean(self, number: int, start_ms: int) -> int:
        load = load_cycle(self.period_rows)
        row = -(-start_ms // self.interval_ms)
        phase = self._pump(number).phase()
        # The value frozen is that of the row before the start.
        while load[(row - 1 + phase) % self.period_rows] not in {0.0, 1.0}:
            row += 1
        return max(start_ms, row * self.interval_ms)

    def _pump(self, number: int) -> Pump:
        return Pump(self.seed, number, self.period_rows, self.interval_ms / 1_000)

    def values(self, machine_id: str, first_row: int, rows: int) -> FloatArray:
        """Readings of one machine.

        Parameters
        ----------
        first_row
            Counted in intervals since the epoch, not negative.

        Returns
        -------
        ndarray of shape (rows, sensors)
            Columns as `sensors`, NaN where a value is missing, rounded to what a sensor resolves.
        """
        number = self._number(machine_id)
        values = self._healthy_rows(number, first_row, rows)
        timestamps_ms = (first_row + np.arange(rows)) * self.interval_ms
        begin_ms, end_ms = first_row * self.interval_ms, (first_row + rows) * self.interval_ms
        for fault in self.faults:
            if (
                fault.machine_id == machine_id
                and fault.start_ms < end_ms
                and begin_ms < fault.end_ms
            ):
                self._apply(fault, number, first_row, values, timestamps_ms)
        for column, decimals in enumerate(DECIMALS):
            np.round(values[:, column], decimals, out=values[:, column])
        return values

    def _apply(
        self,
        fault: Fault,
        number: int,
        first_row: int,
        values: FloatArray,
        timestamps_ms: NDArray[np.int64],
    ) -> None:
        noise = np.empty((len(values), 2))
        for chunk, here, there in _chunks(first_row, len(values)):
            rng = generator(self.seed, number, _FAULT_NOISE, chunk + 1)
            drawn = np.column_stack([rng.standard_normal(CHUNK_ROWS), rng.random(CHUNK_ROWS)])
            noise[here] = drawn[there]
        before = max(0, -(-fault.start_ms // self.interval_ms) - 1)
        frozen = 0.0
        if fault.kind is FaultKind.STUCK_SENSOR:
            column = SENSOR_NAMES.index(fault.sensors[0])
            frozen = float(self._healthy_rows(number, before, 1)[0, column])
        apply(fault, values, timestamps_ms, frozen, noise)

    def _healthy_rows(self, number: int, first_row: int, rows: int) -> FloatArray:
        values = np.empty((rows, len(SENSORS)))
        for chunk, here, there in _chunks(first_row, rows):
            values[here] = self._chunk(number, chunk)[there]
        return values

    @cached_property
    def _chunk(self) -> Callable[[int, int], FloatArray]:
        """A pump's healthy chunk; the last ones are kept, since streaming comes back to them.

        The cache is one that threads may share: several may read one plant.
        """

        @lru_cache(maxsize=2 * self.machines)
        def chunk(number: int, chunk: int) -> FloatArray:
            return self._pump(number).chunk(chunk)

        return chunk

    def readings(self, start_ms: int, end_ms: int | None = None) -> Iterator[Reading]:
        """Yield the whole plant's readings in time order, machine by machine within an instant.

        Parameters
        ----------
        start_ms, end_ms
            Milliseconds since the epoch, end excluded; None goes on for ever.
        """
        row = -(-start_ms // self.interval_ms)
        last = None if end_ms is None else -(-end_ms // self.interval_ms)
        while last is None or row < last:
            rows = _BLOCK_ROWS if last is None else min(_BLOCK_ROWS, last - row)
            blocks = [self._block(machine_id, row, rows) for machine_id in self.machine_ids]
            for instant in zip(*blocks, strict=True):
                yield from instant
            row += rows

    def _block(self, machine_id: str, row: int, rows: int) -> Iterator[Reading]:
        values = self.values(machine_id, row, rows)
        holes = set(np.flatnonzero(np.isnan(values).any(axis=1)).tolist())
        for index, cells in enumerate(values.tolist()):
            sensors = dict(zip(SENSOR_NAMES, cells, strict=True))
            if index in holes:
                sensors = {
                    name: None if math.isnan(cell) else cell for name, cell in sensors.items()
                }
            yield Reading(
                machine_id=machine_id,
                timestamp_ms=(row + index) * self.interval_ms,
                sensors=sensors,
                machine_type=self.machine_type,
            )


def _chunks(first_row: int, rows: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield (chunk, its rows in the span, the same rows in the chunk)."""
    row, end = first_row, first_row + rows
    while row < end:
        chunk, offset = divmod(row, CHUNK_ROWS)
        taken = min(CHUNK_ROWS - offset, end - row)
        here = row - first_row
        yield chunk, slice(here, here + taken), slice(offset, offset + taken)
        row += taken
