"""`faultline replay`: files as readings, at the pace of their own timestamps or faster."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
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
from faultline.cli.outlet import Outlet, open_outlet, summary, tell, transmit
from faultline.cli.progress import progress_bar
from faultline.cli.replay_doubts import Doubts
from faultline.cli.resumption import KeptPosition, Position, state_beside
from faultline.readings import DEFAULT_MACHINE_TYPE, Reading
from faultline.sources.csv import CsvFile
from faultline.sources.pace import paced, parse_speed
from faultline.sources.recording import Placed, Recording, is_parquet, placed

_KEEP_EVERY_S = 1.0


class TimestampUnit(StrEnum):
    """What a number in the timestamp column counts, since 1970."""

    MILLISECONDS = "ms"
    SECONDS = "s"


def replay(  # noqa: PLR0917 - Typer reads options from the signature
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="CSV files, also compressed by gzip, or Parquet files."
        ),
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep where it stands in a file; run again, it goes on there.",
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default="FILE.replay.json beside the first",
            help="That file; implies --resume.",
        ),
    ] = None,
    to: ToOption = Way.TOPIC,
    labels: LabelsOption = None,
    kafka: KafkaOption = None,
    gateway: GatewayOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send CSV or Parquet files as readings, several files as one stream in time order.

    A file keeps its timestamps unless --start moves them: sent twice, a reading is stored once.
    """
    factor = checked(parse_speed, speed, "--speed")
    stop = threading.Event()
    clock = StoppableClock(stop)
    start_ms = start_time(start, clock.now_ms())
    chosen = [
        _format(path)(
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
    began_s = clock.monotonic_s()
    with (
        stop_signals(stop),
        open_outlet(
            to, labels=labels, kafka=kafka, gateway=gateway, home=home, sleep=clock.sleep
        ) as outlet,
    ):
        position = Position([0] * len(files))
        if resume or state is not None:
            options = _options(chosen, start, outlet)
            kept = KeptPosition(state or state_beside(files[0]), files, options, start_ms)
            position, start_ms = kept, kept.start_ms
        before = sum(position.rows)
        if before and not as_json:
            typer.echo(
                f"{before:,} rows had been sent before"
                + ("; there are no more" if position.complete else "; going on after them"),
                err=True,
            )
        if not position.complete:
            if start_ms is not None:
                chosen = _moved(chosen, start_ms)
            total = None if as_json else sum(file.count_rows() for file in chosen)
            doubts = Doubts(chosen, moved=start_ms is not None, tell=partial(typer.echo, err=True))
            with progress_bar("replay", total, as_json, before) as advance:
                _send(
                    chosen,
                    position,
                    outlet,
                    speed=factor,
                    clock=clock,
                    stop=stop,
                    advance=doubts.watching(advance),
                )
        told = summary(outlet, to, clock.monotonic_s() - began_s, stop.is_set())
        if stop.is_set() and not position.complete and not as_json:
            typer.echo(_interrupted(position), err=True)
    tell({**told, "rows_before": before}, as_json)


def _send(
    files: Sequence[Recording],
    position: Position,
    outlet: Outlet,
    *,
    speed: float,
    clock: StoppableClock,
    stop: threading.Event,
    advance: Callable[[Sequence[Reading]], None],
) -> None:
    """Send what is behind a position, which moves along."""
    under_way: deque[Placed] = deque()
    kept_s = clock.monotonic_s()
    at_the_end = False

    def readings() -> Iterator[Reading]:
        nonlocal at_the_end
        for row in placed(files, position.rows):
            under_way.append(row)
            yield row.row.reading
        at_the_end = True

    def after_batch(batch: Sequence[Reading]) -> None:
        nonlocal kept_s
        advance(batch)
        for _ in batch:
            for label in position.take(under_way.popleft()):
                outlet.label(label)
        if clock.monotonic_s() - kept_s >= _KEEP_EVERY_S:
            outlet.flush()
            position.arrived()
            kept_s = clock.monotonic_s()

    def close_faults() -> None:
        if at_the_end or not position.goes_on:
            for label in position.runs.close():
                outlet.label(label)

    transmit(paced(readings(), speed, clock), outlet, stop, after_batch, close_faults)
    position.arrived(complete=at_the_end and not under_way)


def _interrupted(position: Position) -> str:
    """What becomes of the rest."""
    if position.goes_on:
        return "interrupted; the same command goes on where it stopped"
    return (
        "interrupted; run again, it begins anew. With --resume it keeps where it stands, and goes "
        "on there"
    )


def _options(files: Sequence[Recording], start: str | None, outlet: Outlet) -> dict[str, str]:
    """What the readings depend on, and where they go, by the option's name."""
    first = files[0]
    return {
        "--machine": ",".join(file.machine_id for file in files),
        "--machine-type": first.machine_type,
        "--machine-column": first.machine_column or "",
        "--timestamp-column": first.timestamp_column,
        "--timestamp-unit": first.timestamp_unit,
        "--ignore": ",".join(first.ignore),
        "--fault-column": first.fault_column,
        "--start": start or "",
        "--to": outlet.address,
    }


def _format(path: Path) -> type[Recording]:
    try:
        # What is read of a pipe is gone.
        parquet = path.is_file() and is_parquet(path)
    except OSError:
        # Whoever reads it says so.
        parquet = False
    if parquet:
        from faultline.sources.parquet import ParquetFile  # noqa: PLC0415 - for Parquet only

        return ParquetFile
    return CsvFile


def _stem(path: Path) -> str:
    """Return the file's name without its endings: ``pump-3.csv.gz`` is of ``pump-3``."""
    unpacked = path.with_suffix("") if path.suffix == ".gz" else path
    return unpacked.stem


def _moved(files: Sequence[Recording], start_ms: int) -> list[Recording]:
    """Shift all files by the same time, so that the earliest begins at `start_ms`."""
    begins = [begin for file in files if (begin := file.first_timestamp_ms()) is not None]
    if not begins:
        return list(files)
    return [replace(file, shift_ms=start_ms - min(begins)) for file in files]
