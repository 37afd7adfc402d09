"""`faultline replay`: CSV files as readings, at the pace of their own timestamps or faster."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
from faultline.labels import FaultLabel
from faultline.readings import DEFAULT_MACHINE_TYPE, Reading
from faultline.sources.csv import CsvFile, merged
from faultline.sources.pace import paced, parse_speed
from faultline.sources.truth import FaultRuns


class TimestampUnit(StrEnum):
    """What a number in the timestamp column counts, since 1970."""

    MILLISECONDS = "ms"
    SECONDS = "s"


def replay(  # noqa: PLR0917 - Typer reads options from the signature
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV files, also compressed by gzip.")
    ],
    machine: Annotated[
        str | None,
        typer.Option(show_default="each file's name", help="Whose readings they are."),
    ] = None,
    machine_type: Annotated[
        str, typer.Option(help="Names the model that judges them.")
    ] = DEFAULT_MACHINE_TYPE,
    machine_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Holds the machine, in files of several.")
    ] = None,
    timestamp_column: Annotated[
        str, typer.Option(metavar="COLUMN", help="Holds the time.")
    ] = "timestamp",
    timestamp_unit: Annotated[
        TimestampUnit, typer.Option(help="What a number there counts since 1970.")
    ] = TimestampUnit.MILLISECONDS,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="No sensor; repeat for several, or use commas."),
    ] = None,
    fault_column: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Names the fault of a row, empty when healthy."),
    ] = "fault",
    speed: Annotated[
        str,
        typer.Option(
            metavar="FACTOR", help="1 is real time, 60 a minute a second, max no waiting."
        ),
    ] = "max",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            show_default="as in the files",
            help=f"Move all timestamps so that the earliest is this: {TIME_NOTATION}, or `now`.",
        ),
    ] = None,
    to: ToOption = Way.TOPIC,
    labels: LabelsOption = None,
    kafka: KafkaOption = None,
    gateway: GatewayOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send CSV files as readings, several files as one stream in time order.

    A file keeps its timestamps unless --start moves them: sent twice, a reading is stored once.
    """
    factor = checked(parse_speed, speed, "--speed")
    stop = threading.Event()
    clock = StoppableClock(stop)
    chosen = [
        CsvFile(
            path,
            machine if machine is not None else _stem(path),
            machine_type,
            timestamp_column=timestamp_column,
            timestamp_unit=timestamp_unit.value,
            machine_column=machine_column,
            ignore=tuple(name for names in ignore or () for name in names.split(",")),
            fault_column=fault_column,
        )
        for path in files
    ]
    start_ms = start_time(start, clock.now_ms())
    if start_ms is not None:
        chosen = _moved(chosen, start_ms)
    runs = FaultRuns()
    changes: deque[FaultLabel] = deque()

    def readings() -> Iterator[Reading]:
        for row in merged(chosen):
            changes.extend(runs.observe(row))
            yield row.reading

    began_s = clock.monotonic_s()
    lines = None if as_json else sum(file.count_lines() for file in chosen)
    with (
        stop_signals(stop),
        open_outlet(
            to, labels=labels, kafka=kafka, gateway=gateway, home=home, sleep=clock.sleep
        ) as outlet,
        progress_bar("replay", lines, as_json) as advance,
    ):

        def send_changes() -> None:
            while changes:
                outlet.label(changes.popleft())

        def after_batch(batch: Sequence[Reading]) -> None:
            advance(batch)
            send_changes()

        def at_end() -> None:
            changes.extend(runs.close())
            send_changes()

        transmit(paced(readings(), factor, clock), outlet, stop, after_batch, at_end)
        told = summary(outlet, to, clock.monotonic_s() - began_s, stop.is_set())
    tell(told, as_json)


def _stem(path: Path) -> str:
    """Return the file's name without its endings: ``pump-3.csv.gz`` is of ``pump-3``."""
    unpacked = path.with_suffix("") if path.suffix == ".gz" else path
    return unpacked.stem


def _moved(files: Sequence[CsvFile], start_ms: int) -> list[CsvFile]:
    """Shift all files by the same time, so that the earliest begins at `start_ms`."""
    begins = [begin for file in files if (begin := file.first_timestamp_ms()) is not None]
    if not begins:
        return list(files)
    return [replace(file, shift_ms=start_ms - min(begins)) for file in files]
