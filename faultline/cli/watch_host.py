"""`faultline watch-host`: the sensors of the machine it runs on, several times a second."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from faultline.cli.interruption import StoppableClock, stop_signals
from faultline.cli.options import (
    GatewayOption,
    HomeOption,
    JsonOption,
    KafkaOption,
    ToOption,
    Way,
    checked,
)
from faultline.cli.outlet import open_outlet, summary, tell, transmit
from faultline.cli.progress import progress_bar
from faultline.sources.host import DEFAULT_INTERVAL_S, HostSource
from faultline.sources.pace import parse_duration


def watch_host(  # noqa: PLR0917 - Typer reads options from the signature
    interval: Annotated[
        float, typer.Option(min=0.01, metavar="SECONDS", help="Between two readings.")
    ] = DEFAULT_INTERVAL_S,
    machine: Annotated[
        str | None, typer.Option(show_default="the host's name", help="What to call it.")
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option(metavar="TIME", show_default="until Ctrl-C", help="Such as 90s, 2h."),
    ] = None,
    to: ToOption = Way.TOPIC,
    kafka: KafkaOption = None,
    gateway: GatewayOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stream the sensors of this machine as a machine of type `host`.

    CPU per core and by kind, load, context switches, interrupts, memory, swap, disk and network
    rates, temperatures: as far as this platform has them.
    """
    length_s = None if duration is None else checked(parse_duration, duration, "--duration")
    stop = threading.Event()
    clock = StoppableClock(stop)
    source = HostSource(clock, machine_id=machine, interval_s=interval)
    total = None if length_s is None else round(length_s / interval)
    began_s = clock.monotonic_s()
    with (
        stop_signals(stop),
        open_outlet(to, kafka=kafka, gateway=gateway, home=home, sleep=clock.sleep) as outlet,
        progress_bar("watch-host", total, as_json) as advance,
    ):
        batches = ([reading] for reading in source.readings(length_s))
        transmit(batches, outlet, stop, advance)
        told = summary(outlet, to, clock.monotonic_s() - began_s, stop.is_set())
    tell(told, as_json)
