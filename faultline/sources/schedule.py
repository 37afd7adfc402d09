"""Faults that befall a plant by chance: at a rate, of the kinds asked for, known in advance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faultline.readings import Reading
from faultline.sources.faults import PHYSICAL, Fault, FaultKind
from faultline.sources.noise import generator
from faultline.sources.plant import Plant

_HOUR_MS = 3_600_000
_SCHEDULE = 101
# Sensors on which a fault of one sensor is seen; speed is controlled and hardly fails by itself.
_SENSORS = ("flow", "pressure_out", "motor_current")
_MIN_SEVERITY, _MAX_SEVERITY = 0.6, 1.0
# Load cycles that a fault lasts.
_MIN_CYCLES, _MAX_CYCLES = 4, 10
# Cycles of rest after a fault, for windows and alarms to come back to normal.
_REST_CYCLES = 4


def random_faults(
    plant: Plant,
    start_ms: int,
    end_ms: int,
    *,
    per_machine_hour: float,
    kinds: Sequence[FaultKind],
) -> tuple[Fault, ...]:
    """Draw faults for a span of time; the plant's seed and the span decide them.

    On each machine the healthy time before a fault is exponentially distributed. A fault lasts 4 to
    10 load cycles and lies wholly within the span.

    Parameters
    ----------
    start_ms, end_ms
        Milliseconds since the epoch, end excluded.
    per_machine_hour
        Mean number of faults in an hour of healthy time of one machine; 0 for none.
    kinds
        Drawn from with equal chances.

    Returns
    -------
    tuple of Fault
        By start.

    Raises
    ------
    ValueError
        When the rate is negative, or there is a rate but no kind.
    """
    if per_machine_hour < 0:
        raise ValueError(f"fault rate {per_machine_hour} must not be negative")
    if per_machine_hour == 0:
        return ()
    if not kinds:
        raise ValueError("no kinds of fault given; name at least one, or set the fault rate to 0")
    cycle_ms = plant.period_rows * plant.interval_ms
    faults: list[Fault] = []
    for number, machine_id in enumerate(plant.machine_ids, start=1):
        rng = generator(plant.seed, number, _SCHEDULE, start_ms)
        at_ms = float(start_ms)
        while True:
            at_ms += rng.exponential(_HOUR_MS / per_machine_hour)
            kind = kinds[int(rng.integers(len(kinds)))]
            fault = plant.fault(
                kind,
                machine_id,
                int(at_ms),
                int(rng.uniform(_MIN_CYCLES, _MAX_CYCLES) * cycle_ms),
                severity=round(float(rng.uniform(_MIN_SEVERITY, _MAX_SEVERITY)), 2),
                sensor=None if kind in PHYSICAL else _SENSORS[int(rng.integers(len(_SENSORS)))],
                direction=1 if rng.random() < 0.5 else -1,
            )
            if fault.end_ms > end_ms:
                break
            faults.append(fault)
            at_ms = fault.end_ms + _REST_CYCLES * cycle_ms
    return tuple(sorted(faults, key=lambda fault: (fault.start_ms, fault.machine_id)))


def live(
    plant: Plant,
    start_ms: int,
    end_ms: int | None,
    *,
    per_machine_hour: float,
    kinds: Sequence[FaultKind],
) -> Iterator[tuple[Plant, Iterator[Reading]]]:
    """Run a plant on with random faults, an hour of its time after the other.

    Parameters
    ----------
    start_ms, end_ms
        Milliseconds since the epoch, end excluded; None goes on for ever.

    Yields
    ------
    (Plant, iterator of Reading)
        The plant with its faults of that hour, and its readings.
    """
    while end_ms is None or start_ms < end_ms:
        until_ms = start_ms + _HOUR_MS if end_ms is None else min(start_ms + _HOUR_MS, end_ms)
        faults = random_faults(
            plant, start_ms, until_ms, per_machine_hour=per_machine_hour, kinds=kinds
        )
        troubled = plant.with_faults(faults)
        yield troubled, troubled.readings(start_ms, until_ms)
        start_ms = until_ms
