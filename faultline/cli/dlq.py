"""`faultline dlq`: what was refused, shown, written to a file to be mended, and sent again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from faultline.cli.dlq_files import STANDARD, chosen_letters, write
from faultline.cli.dlq_output import (
    print_entries,
    print_letter,
    print_replay,
    print_summary,
)
from faultline.cli.models import time_range
from faultline.cli.options import TIME_NOTATION, HomeOption, KafkaOption
from faultline.dead_letters import (
    REPLAYED_FROM,
    Letter,
    Replay,
    Selection,
    letters_of,
    survey,
)
from faultline.dead_letters import replay as replay_letters
from faultline.errors import FaultlineError, NotFound
from faultline.ports.broker import Broker
from faultline.readings import Reading

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Show, export and replay what was refused, in the topic sensor.readings.dlq.",
)

ReasonOption = Annotated[
    list[str] | None,
    typer.Option("--reason", help="Such as invalid_sensors or conflict; repeat for several."),
]
MachineOption = Annotated[
    str | None, typer.Option("--machine", metavar="ID", help="Named by the key or in the message.")
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help=f"Refused then or later: {TIME_NOTATION}."),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Refused before then; as --since.")
]
PartitionOption = Annotated[
    int | None, typer.Option("--partition", min=0, help="Of the topic where it was refused.")
]
OffsetOption = Annotated[
    int | None, typer.Option("--offset", min=0, help="Of the refused message, in that topic.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object in place of the text.")]


@app.command("list")
def list_(  # noqa: PLR0917 - Typer reads options from the signature
    reason: ReasonOption = None,
    machine: MachineOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    summary: Annotated[
        bool, typer.Option("--summary", help="How many of each reason, in place of the list.")
    ] = False,
    kafka: KafkaOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, the newest first.

    A letter that was a replay itself names the letter it was made from. Whether a letter has been
    replayed is not kept: a topic cannot be marked.
    """
    chosen = _selection(reason, machine, since, until, partition, offset)
    with opened_broker(kafka, home) as broker:
        found = survey(letters_of(broker), chosen, limit)
    if summary:
        print_summary(found, as_json)
    else:
        print_entries(found, as_json)


@app.command()
def show(
    letter: Annotated[
        int, typer.Argument(metavar="LETTER", min=0, help="Its number, as `list` shows it.")
    ],
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the message's bytes, unchanged.")
    ] = False,
    kafka: KafkaOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a letter: why it was refused, where it came from, headers and message.

    What a terminal would obey (control characters, escape sequences) and what is no UTF-8 is
    written by its codes; --raw writes it as it is.
    """
    with opened_broker(kafka, home) as broker:
        found = find(broker, letter)
    if raw:
        sys.stdout.buffer.write(found.value)
        sys.stdout.buffer.flush()
    else:
        print_letter(found, as_json)


@app.command()
def export(  # noqa: PLR0917 - Typer reads options from the signature
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new file; - for the standard output.")
    ],
    reason: ReasonOption = None,
    machine: MachineOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    kafka: KafkaOption = None,
    home: HomeOption = None,
) -> None:
    """Write letters to a file, a JSON object on each line, the oldest first.

    Mend `value` (or `value_base64`, where it is no UTF-8) and give the file to
    `faultline dlq replay --from FILE`. Delete the lines that are not to be sent.
    """
    chosen = _selection(reason, machine, since, until, partition, offset)
    with opened_broker(kafka, home) as broker:
        written = write(filter(chosen.takes, letters_of(broker)), file)
    typer.echo(f"{written:,} letters in {file}", err=str(file) == STANDARD)


@app.command()
def replay(  # noqa: PLR0917 - Typer reads options from the signature
    file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Letters that `export` wrote, mended; - for the standard input.",
            show_default="the topic",
        ),
    ] = None,
    reason: ReasonOption = None,
    machine: MachineOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be; send none.")
    ] = False,
    conflicts: Annotated[
        bool,
        typer.Option(
            "--conflicts",
            help="Conflicts too. What is stored stays, so each becomes another letter unless its "
            "reading is not stored any more.",
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="How many of those still refused to name.")
    ] = 20,
    kafka: KafkaOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate letters again and send the readings that are valid now to sensor.readings.

    Of a message that was refused in part only that part goes, the rest is stored. What is still
    refused is told and not sent: it stays among the letters. To replay again does no harm, each
    reading is stored once. Messages have the header replayed_from.

    Exit status: 0 when nothing is still refused, else 1.
    """
    chosen = _selection(reason, machine, since, until, partition, offset)
    with opened_broker(kafka, home) as broker, chosen_letters(broker, file) as letters:
        found = send_again(
            broker, filter(chosen.takes, letters), dry_run=dry_run, conflicts=conflicts, limit=limit
        )
    print_replay(found, dry_run, as_json)
    if found.still_refused:
        raise typer.Exit(1)


def find(broker: Broker, offset: int) -> Letter:
    """The letter that stands at an offset of the topic; `NotFound` when there is none."""
    first: int | None = None
    for letter in letters_of(broker):
        first = letter.offset if first is None else first
        if letter.offset == offset:
            return letter
        if letter.offset > offset:
            break
    why = "; older ones are gone" if first is not None and offset < first else ""
    raise NotFound(f"there is no dead letter {offset}{why}: see `faultline dlq list`")


def send_again(
    broker: Broker, letters: Iterator[Letter], *, dry_run: bool, conflicts: bool, limit: int
) -> Replay:
    """Replay letters; returns once Kafka has what was sent.

    Raises
    ------
    FaultlineError
        Of the file or the broker; how many readings had gone before, if any, is said on stderr.
    """
    from faultline.sources.topic import TopicSink  # noqa: PLC0415 - a quick --help

    found = Replay()
    if dry_run:
        replay_letters(letters, lambda *_: None, found, conflicts=conflicts, limit=limit)
        return found
    sink = TopicSink(broker.producer())

    def send(letter: Letter, readings: Sequence[Reading]) -> None:
        sink.send(readings, ((REPLAYED_FROM, str(letter.offset).encode()),))

    try:
        try:
            replay_letters(letters, send, found, conflicts=conflicts, limit=limit)
        finally:
            sink.flush()
    except FaultlineError:
        if found.sent_readings:
            typer.echo(
                f"stopped after {found.sent_readings:,} readings; to send them again does no harm, "
                "each is stored once",
                err=True,
            )
        raise
    return found


def _selection(  # noqa: PLR0917 - in the order in which all commands have them
    reason: list[str] | None,
    machine: str | None,
    since: str | None,
    until: str | None,
    partition: int | None,
    offset: int | None,
) -> Selection:
    since_ms, until_ms = time_range(since, until, ("--since", "--until"))
    return Selection(frozenset(reason or ()), machine, since_ms, until_ms, partition, offset)


@contextmanager
def opened_broker(kafka: str | None, home: Path | None) -> Iterator[Broker]:
    """The broker at an address, or that of the running stack, through the client that is set."""
    from faultline.adapters.broker import open_broker  # noqa: PLC0415 - a quick --help
    from faultline.local.home import load_endpoints  # noqa: PLC0415
    from faultline.settings import KafkaSettings  # noqa: PLC0415

    servers = kafka or load_endpoints(home, needs=("kafka",)).kafka
    broker = open_broker(KafkaSettings(kafka_bootstrap_servers=servers), client_id="faultline-cli")
    try:
        yield broker
    finally:
        broker.close()
