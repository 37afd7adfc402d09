"""The way out for the commands that send readings: connecting, sending, and what is said of it."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import typer

from faultline.cli.interruption import Interrupted
from faultline.cli.options import Way
from faultline.cli.waiting import Waiting
from faultline.errors import FaultlineError
from faultline.labels import FaultLabel
from faultline.readings import Reading, format_timestamp
from faultline.sources.sink import Sink
from faultline.sources.topic import LabelSink

INTERRUPTED_STATUS = 130


@dataclass
class Outlet:
    """Where readings and labels go, and how many of them have gone there.

    Attributes
    ----------
    address
        For the summary.
    labels
        None: labels are not sent.
    """

    sink: Sink
    address: str
    labels: LabelSink | None
    sent: Counter[str] = field(default_factory=Counter)
    labels_sent: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def send(self, readings: Sequence[Reading]) -> None:
        """Send readings, at least one, and count them."""
        self.sink.send(readings)
        self.sent.update(reading.machine_id for reading in readings)
        times_ms = [reading.timestamp_ms for reading in readings]
        earliest, latest = min(times_ms), max(times_ms)
        self.first_ms = earliest if self.first_ms is None else min(self.first_ms, earliest)
        self.last_ms = latest if self.last_ms is None else max(self.last_ms, latest)

    def label(self, label: FaultLabel) -> None:
        """Send a label, if labels are to be sent."""
        if self.labels is not None:
            self.labels.send(label)
            self.labels_sent += 1

    def flush(self) -> None:
        """Return once everything has arrived."""
        self.sink.flush()
        if self.labels is not None:
            self.labels.flush()


@contextmanager
def open_outlet(
    to: Way,
    *,
    labels: bool | None = False,
    kafka: str | None = None,
    gateway: str | None = None,
    home: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Outlet]:
    """Connect, by the addresses given, else by those of the stack that runs in `home`.

    Parameters
    ----------
    labels
        None: when readings go to the topic.
    sleep
        Waits between two attempts to reach the gateway.

    Raises
    ------
    NotFound
        When an address is neither given nor known.
    """
    from faultline.adapters.broker import open_broker  # noqa: PLC0415 - a quick --help
    from faultline.local.home import load_endpoints  # noqa: PLC0415
    from faultline.settings import KafkaSettings  # noqa: PLC0415
    from faultline.sources.http import HttpSink  # noqa: PLC0415
    from faultline.sources.topic import TopicSink  # noqa: PLC0415

    with_labels = to is Way.TOPIC if labels is None else labels
    with ExitStack() as closing:
        producer = None
        if to is Way.TOPIC or with_labels:
            servers = kafka or load_endpoints(home, needs=("kafka",)).kafka
            broker = open_broker(
                KafkaSettings(kafka_bootstrap_servers=servers), client_id="faultline-cli"
            )
            closing.callback(broker.close)
            producer = broker.producer()
        label_sink = LabelSink(producer) if producer is not None and with_labels else None
        if to is Way.TOPIC:
            assert producer is not None
            yield Outlet(TopicSink(producer), servers, label_sink)
        else:
            url = gateway or load_endpoints(home, needs=("gateway",)).gateway
            http = closing.enter_context(HttpSink(url, sleep=Waiting(url, sleep).sleep))
            yield Outlet(http, url, label_sink)


def transmit(
    batches: Iterable[Sequence[Reading]],
    outlet: Outlet,
    stop: threading.Event,
    after_batch: Callable[[Sequence[Reading]], None] = lambda _: None,
    at_end: Callable[[], None] = lambda: None,
) -> None:
    """Send batch after batch until they end or the command is to stop, then flush.

    Parameters
    ----------
    after_batch, at_end
        Called with each batch that was sent, and once after the last, before the flush.

    Raises
    ------
    FaultlineError
        What the sink raises; how many readings had gone before, if any, is said on stderr.
    """
    try:
        try:
            for batch in batches:
                outlet.send(batch)
                after_batch(batch)
                if stop.is_set():
                    break
        except Interrupted:
            pass
        at_end()
        outlet.flush()
    except FaultlineError:
        if outlet.sent:
            typer.echo(
                f"stopped after {outlet.sent.total():,} readings; to send them again does no harm, "
                "each is stored once",
                err=True,
            )
        raise


def summary(outlet: Outlet, to: Way, took_s: float, interrupted: bool) -> dict[str, Any]:
    """What a command has sent, for ``--json``."""
    total = outlet.sent.total()

    def shown(timestamp_ms: int | None) -> str | None:
        return None if timestamp_ms is None else format_timestamp(timestamp_ms)

    return {
        "sent": total,
        "machines": dict(sorted(outlet.sent.items())),
        "labels": outlet.labels_sent,
        "to": to.value,
        "address": outlet.address,
        "first_timestamp": shown(outlet.first_ms),
        "last_timestamp": shown(outlet.last_ms),
        "took_s": round(took_s, 3),
        "readings_per_s": round(total / took_s) if took_s > 0 else None,
        "interrupted": interrupted,
    }


def tell(told: dict[str, Any], as_json: bool) -> None:
    """Print the summary, and end with status 130 when the command was interrupted."""
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    else:
        machines = told["machines"]
        whose = next(iter(machines)) if len(machines) == 1 else f"{len(machines)} machines"
        typer.echo(
            f"sent {told['sent']:,} readings of {whose} to {told['address']} ({told['to']}) "
            f"in {told['took_s']:.1f} s"
            + (f", {told['readings_per_s']:,} a second" if told["readings_per_s"] else "")
        )
        if told["sent"]:
            typer.echo(f"their time: {told['first_timestamp']} to {told['last_timestamp']}")
        if told["labels"]:
            typer.echo(f"labels sent: {told['labels']:,}")
    if told["interrupted"]:
        raise typer.Exit(INTERRUPTED_STATUS)
