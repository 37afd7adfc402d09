"""A pump's physics: what its sensors show when it is healthy. It knows nothing of faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.sources.noise import CHUNK_ROWS, FloatArray, correlated_noise, generator, white_noise


@dataclass(frozen=True)
class Sensor:
    """A sensor as it is built.

    Attributes
    ----------
    unit
        Of everything below.
    decimals
        What it resolves.
    noise
        Standard deviation of one reading about the true value.
    step
        A clear fault of this sensor alone: what it is off by at severity 1.
    spread
        Relative standard deviation between machines of the same make.
    """

    name: str
    unit: str
    decimals: int
    noise: float
    step: float
    spread: float


SENSORS = (
    Sensor("speed", "rpm", 0, 6.0, 150.0, 0.001),
    Sensor("flow", "m3/h", 2, 0.25, 3.2, 0.004),
    Sensor("pressure_in", "bar", 3, 0.006, 0.12, 0.004),
    Sensor("pressure_out", "bar", 3, 0.03, 0.5, 0.004),
    Sensor("motor_current", "A", 2, 0.1, 1.5, 0.004),
    Sensor("vibration", "mm/s", 3, 0.05, 0.45, 0.01),
    Sensor("bearing_temperature", "deg C", 2, 0.12, 6.0, 0.004),
    Sensor("efficiency", "%", 2, 0.5, 5.0, 0.003),
)
SENSOR_NAMES = tuple(sensor.name for sensor in SENSORS)
DECIMALS = tuple(sensor.decimals for sensor in SENSORS)

_RATED_SPEED_RPM = 2_950.0
_RATED_FLOW_M3H = 42.0
_RATED_HEAD_BAR = 5.2
_VOLTS_AND_POWER_FACTOR_KW = np.sqrt(3) * 400.0 * 0.86 / 1_000
_HOUR_S = 3_600.0

# How much of the rated load the plant asks of a pump, for a run of cycles at a time: what a
# detector finds as regimes.
_DUTIES = (1.0, 0.94)
_DUTY_CYCLES = 15
_THERMAL_CYCLES = 4.0

# Independent series of one machine.
_INDIVIDUAL, _LOAD, _WHITE, _COLOURED, _AMBIENT, _DUTY = range(6)


def load_cycle(period_rows: int) -> FloatArray:
    """One cycle of the load, shape (period_rows,), 0 (idle) to 1 (full).

    Idle, run up to full load, hold, step down to part load, hold, and run down.
    """
    corners = (0.0, 0.12, 0.22, 0.55, 0.62, 0.88, 1.0)
    levels = (0.0, 0.0, 1.0, 1.0, 0.55, 0.55, 0.0)
    return np.interp(np.arange(period_rows) / period_rows, corners, levels)


def _thermal(cycle: FloatArray, time_constant_rows: float) -> FloatArray:
    """Steady periodic answer of a first-order thermal mass to the cycle, by its spectrum."""
    frequency = np.fft.rfftfreq(len(cycle))
    response = 1.0 / (1.0 + 2j * np.pi * frequency * time_constant_rows)
    return np.fft.irfft(np.fft.rfft(cycle) * response, n=len(cycle))


@dataclass(frozen=True)
class Pump:
    """One pump of a plant: its cycle, its small constant differences, its noise.

    Attributes
    ----------
    seed
        The plant's.
    number
        Tells the pumps of a plant apart; with the seed, the whole series follows from it.
    period_rows
        Length of the load cycle.
    interval_s
        Time between two rows.
    """

    seed: int
    number: int
    period_rows: int
    interval_s: float

    def phase(self) -> int:
        """Row of the cycle that the pump is in at the epoch; differs from pump to pump."""
        return int(generator(self.seed, self.number, _INDIVIDUAL).integers(self.period_rows))

    def _gains(self) -> FloatArray:
        rng = generator(self.seed, self.number, _INDIVIDUAL, 1)
        spread = np.array([sensor.spread for sensor in SENSORS])
        return 1.0 + spread * np.clip(rng.standard_normal(len(SENSORS)), -2.0, 2.0)

    def chunk(self, chunk: int) -> FloatArray:
        """Compute one chunk of healthy readings, unrounded.

        Parameters
        ----------
        chunk
            Rows ``chunk * CHUNK_ROWS`` on, counted in intervals since the epoch.

        Returns
        -------
        ndarray of shape (CHUNK_ROWS, sensors)
            Columns as `SENSORS`.
        """
        row = chunk * CHUNK_ROWS + np.arange(CHUNK_ROWS)
        in_cycle = (row + self.phase()) % self.period_rows
        cycle = load_cycle(self.period_rows)
        # The process asks for a little more or less from minute to minute; every sensor follows.
        wander = correlated_noise((self.seed, self.number, _LOAD), chunk, 1, rows=90.0)[:, 0]
        duty, warm_duty = self._duty(row)
        load = cycle[in_cycle] * duty * (1.0 + 0.004 * wander)
        warmth = _thermal(cycle, _THERMAL_CYCLES * self.period_rows)[in_cycle] * warm_duty

        speed_ratio = 0.62 + 0.38 * load
        flow = _RATED_FLOW_M3H * speed_ratio
        head = _RATED_HEAD_BAR * speed_ratio**2
        pressure_in = 1.30 - 0.22 * speed_ratio**2
        efficiency = 72.0 - 22.0 * (1.0 - speed_ratio) ** 2
        hydraulic_kw = flow / 3_600.0 * head * 100.0
        current = hydraulic_kw / (efficiency / 100.0) / _VOLTS_AND_POWER_FACTOR_KW
        truth = np.column_stack(
            [
                _RATED_SPEED_RPM * speed_ratio,
                flow,
                pressure_in,
                pressure_in + head,
                current + 1.5,  # what the unloaded motor draws
                0.6 + 0.9 * speed_ratio**2,
                self._ambient(chunk, row) + 22.0 + 14.0 * warmth,
                efficiency,
            ]
        )
        return truth * self._gains() + self._measurement_noise(chunk)

    def _duty(self, row: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Duty at each row, and the duty that the pump's heat has reached by then."""
        run_rows = _DUTY_CYCLES * self.period_rows
        run, in_run = np.divmod(row + self.phase(), run_rows)
        first = int(run[0])
        drawn = np.array(
            [
                _DUTIES[
                    int(generator(self.seed, self.number, _DUTY, number).integers(len(_DUTIES)))
                ]
                for number in range(max(0, first - 1), int(run[-1]) + 1)
            ]
        )
        levels = drawn if first > 0 else np.concatenate([drawn[:1], drawn])
        now, before = levels[run - first + 1], levels[run - first]
        cooled = np.exp(-in_run / (_THERMAL_CYCLES * self.period_rows))
        return now, now + (before - now) * cooled

    def _ambient(self, chunk: int, row: NDArray[np.int64]) -> FloatArray:
        """Temperature of the hall in deg C, shared by its pumps: ventilation, and the day."""
        hours = row * (self.interval_s / _HOUR_S)
        ventilation = 0.5 * np.sin(2 * np.pi * hours / 0.6)
        day = 0.4 * np.sin(2 * np.pi * hours / 24.0)
        draught = correlated_noise((self.seed, 0, _AMBIENT), chunk, 1, rows=120.0)[:, 0]
        return np.asarray(21.0 + ventilation + day + 0.1 * draught)

    def _measurement_noise(self, chunk: int) -> FloatArray:
        white = white_noise((self.seed, self.number, _WHITE), chunk, len(SENSORS))
        coloured = correlated_noise(
            (self.seed, self.number, _COLOURED), chunk, len(SENSORS), rows=8.0
        )
        level = np.array([sensor.noise for sensor in SENSORS])
        return level * (0.9 * white + 0.44 * coloured)
