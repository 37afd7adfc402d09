"""`faultline simulate`: a fleet of synthetic pumps, with faults whose truth is known."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Any

import typer

from faultline.cli.interruption import StoppableClock, stop_signals
from faultline.cli.options import (
    TIME_NOTATION,
    GatewayOption,
    HomeOption,
    JsonOption,
    KafkaOption,
    LabelsOption,
    ToOption,
    Way,
    checked,
    start_time,
)
from faultline.cli.outlet import open_outlet, summary, tell, transmit
from faultline.cli.progress import progress_bar
from faultline.readings import Reading, format_timestamp
from faultline.sources.faults import Fault, FaultKind
from faultline.sources.pace import FULL_SPEED, paced, parse_duration, parse_speed
from faultline.sources.plant import Plant
from faultline.sources.schedule import live

# What it is also called.
_SYNONYMS = {"stuck": FaultKind.STUCK_SENSOR}


def simulate(  # noqa: PLR0917 - Typer reads options from the signature
    machines: Annotated[int, typer.Option(min=1, help="How many pumps.")] = 8,
    machine_type: Annotated[
        str, typer.Option(help="Names the model that judges them, and begins their names.")
    ] = "pump",
    duration: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", show_default="until Ctrl-C", help="Of the pumps' time: 90s, 2h."
        ),
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Healthy readings from before, sent first, at full speed."
        ),
    ] = None,
    speed: Annotated[
        str,
        typer.Option(
            metavar="FACTOR", help="1 is real time, 60 a minute a second, max no waiting."
        ),
    ] = "1",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            show_default="so that it ends about now; without a duration, now",
            help=f"The pumps' time to begin with, after the history: {TIME_NOTATION}, or `now`.",
        ),
    ] = None,
    faults: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            show_default="all",
            help=f"Repeat for several, or use commas: {', '.join(FaultKind)}.",
        ),
    ] = None,
    fault_rate: Annotated[
        float, typer.Option(min=0, help="Faults per pump and hour of its time; 0 for none.")
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed and time, the same readings.")
    ] = 0,
    to: ToOption = Way.TOPIC,
    labels: LabelsOption = None,
    kafka: KafkaOption = None,
    gateway: GatewayOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stream a synthetic fleet, one reading per pump and second of its time.

    Each fault is told as it starts. With a speed above 1 and no duration, the pumps' time runs
    ahead of the clock.
    """
    factor = checked(parse_speed, speed, "--speed")
    length_s = None if duration is None else checked(parse_duration, duration, "--duration")
    history_s = 0.0 if history is None else checked(parse_duration, history, "--history")
    if length_s is None and factor == FULL_SPEED:
        raise typer.BadParameter("at full speed there must be an end", param_hint="--duration")
    kinds = [checked(_kind, name, "--faults") for name in _split(faults)] or list(FaultKind)
    plant = checked(
        lambda chosen: Plant(machines=machines, seed=seed, machine_type=chosen),
        machine_type,
        "--machine-type",
    )
    stop = threading.Event()
    clock = StoppableClock(stop)
    now_ms = clock.now_ms()
    start_ms = start_time(start, now_ms)
    if start_ms is None:
        ahead_s = 0.0 if length_s is None else length_s - length_s / factor
        start_ms = now_ms - round(ahead_s * 1_000)
    end_ms = None if length_s is None else start_ms + round(length_s * 1_000)
    history_ms = round(history_s * 1_000)
    coming: deque[Fault] = deque()
    told_faults: list[Fault] = []

    def readings() -> Iterator[Reading]:
        for troubled, hour in live(
            plant, start_ms, end_ms, per_machine_hour=fault_rate, kinds=kinds
        ):
            coming.extend(troubled.faults)
            yield from hour

    began_s = clock.monotonic_s()
    with (
        stop_signals(stop),
        open_outlet(
            to, labels=labels, kafka=kafka, gateway=gateway, home=home, sleep=clock.sleep
        ) as outlet,
        progress_bar("simulate", _expected(plant, length_s, history_s), as_json) as advance,
    ):

        def after_batch(batch: Sequence[Reading]) -> None:
            advance(batch)
            while coming and coming[0].start_ms <= batch[-1].timestamp_ms:
                fault = coming.popleft()
                told_faults.append(fault)
                outlet.label(fault.label)
                if not as_json:
                    typer.echo(_announcement(fault))

        past = plant.readings(start_ms - history_ms, start_ms)
        batches = chain(
            paced(past, FULL_SPEED, clock),
            paced(readings(), factor, clock),
        )
        transmit(batches, outlet, stop, after_batch)
        told = summary(outlet, to, clock.monotonic_s() - began_s, stop.is_set())
    told["faults"] = [_as_json(fault) for fault in told_faults]
    tell(told, as_json)


def _split(names: Sequence[str] | None) -> list[str]:
    return [name.strip() for given in names or () for name in given.split(",") if name.strip()]


def _kind(name: str) -> FaultKind:
    try:
        return _SYNONYMS.get(name) or FaultKind(name)
    except ValueError:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(FaultKind)}") from None


def _expected(plant: Plant, length_s: float | None, history_s: float) -> int | None:
    if length_s is None:
        return None
    return round((length_s + history_s) * 1_000 / plant.interval_ms) * plant.machines


def _announcement(fault: Fault) -> str:
    return (
        f"{format_timestamp(fault.start_ms)} {fault.machine_id}: {fault.kind.value} on "
        f"{', '.join(fault.sensors)}, severity {fault.severity:g}, "
        f"for {(fault.end_ms - fault.start_ms) / 1_000:.0f} s" + (" (hard)" if fault.hard else "")
    )


def _as_json(fault: Fault) -> dict[str, Any]:
    return {
        "machine_id": fault.machine_id,
        "kind": fault.kind.value,
        "sensors": fault.sensors,
        "start": format_timestamp(fault.start_ms),
        "end": format_timestamp(fault.end_ms),
        "severity": fault.severity,
        "hard": fault.hard,
    }
