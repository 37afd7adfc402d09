"""What `faultline dlq` prints: tables, a letter, and the same as JSON.

A letter's text was written by anyone who can send to the topic: nothing of it reaches the terminal
that the terminal would obey.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import typer

from faultline.cli.offline import print_json
from faultline.cli.table import print_table, shortened, terminal_columns
from faultline.cli.terminal import escaped
from faultline.dead_letters import Entry, Letter, Replay, Source, Survey, record_of
from faultline.dead_letters.letter import positions_text
from faultline.readings import format_timestamp

_DETAIL_CHARACTERS = 60
_MACHINE_CHARACTERS = 40


def print_entries(found: Survey, as_json: bool) -> None:
    """Print the newest letters."""
    if as_json:
        print_json(
            {"chosen": found.chosen, "letters": [_document(entry) for entry in found.newest]}
        )
        return
    if not found.newest:
        typer.echo(_none(found))
        return
    print_table(
        ("LETTER", "REFUSED", "REASON", "MACHINE", "SOURCE", "WHY"),
        [_row(entry) for entry in found.newest],
        to_the_right={"LETTER"},
        may_go=("SOURCE", "MACHINE"),
        columns=terminal_columns(),
    )
    if found.chosen > len(found.newest):
        typer.echo(f"the newest {len(found.newest):,} of {found.chosen:,}; --limit shows more")


def print_summary(found: Survey, as_json: bool) -> None:
    """Print how many letters there are of each reason."""
    reasons = sorted(found.counts.items(), key=lambda item: (-item[1].letters, item[0]))
    if as_json:
        rows = [
            {
                "reason": reason,
                "letters": count.letters,
                "first": format_timestamp(count.first_ms),
                "last": format_timestamp(count.last_ms),
            }
            for reason, count in reasons
        ]
        print_json({"chosen": found.chosen, "reasons": rows})
        return
    if not reasons:
        typer.echo(_none(found))
        return
    print_table(
        ("REASON", "LETTERS", "FIRST", "LAST"),
        [
            (
                _reason(reason),
                f"{count.letters:,}",
                format_timestamp(count.first_ms),
                format_timestamp(count.last_ms),
            )
            for reason, count in reasons
        ],
        to_the_right={"LETTERS"},
    )


def print_letter(letter: Letter, as_json: bool) -> None:
    """Print all of a letter, its message last."""
    if as_json:
        record = msgspec.structs.asdict(record_of(letter))
        # As in a file: what there is none of is left out.
        told = {name: each for name, each in record.items() if each not in (None, msgspec.UNSET)}
        print_json({**told, "headers": _headers(letter)})
        return
    replayed = letter.replayed_from
    lines = {
        "letter": str(letter.offset),
        "refused": format_timestamp(letter.at_ms),
        "reason": _reason(letter.reason),
        "why": escaped(letter.detail) or "not said",
        "readings": positions_text(letter.positions) or "the whole message, or too many to be told",
        "from": _source(letter.source),
        "replayed": "" if replayed is None else f"from letter {replayed}",
        "key": "none" if letter.key is None else escaped(letter.key),
        **{f"header {name}": value for name, value in _headers(letter).items()},
        "message": f"{len(letter.value):,} bytes",
    }
    for name, text in lines.items():
        if text:
            typer.echo(f"{escaped(name) + ':':<10} {text}")
    typer.echo()
    for line in letter.value.split(b"\n"):
        typer.echo(f"  {escaped(line)}".rstrip())


def print_replay(found: Replay, dry_run: bool, as_json: bool) -> None:
    """Print what became of the letters."""
    if as_json:
        print_json({"dry_run": dry_run, **msgspec.to_builtins(found)})
        return
    would = "would send" if dry_run else "sent"
    typer.echo(f"{would} {found.sent_readings:,} readings of {found.sent_letters:,} letters")
    if found.conflicts:
        typer.echo(
            f"left out {found.conflicts:,} conflicts: what is stored stays, they would only be "
            "refused again (--conflicts sends them all the same)"
        )
    for topic, count in sorted(found.other_topics.items()):
        typer.echo(f"left out {count:,} from {escaped(topic)}, which are no readings")
    if found.still_refused:
        typer.echo(
            f"still refused, and not sent: {found.still_refused:,} letters, wholly or in part"
        )
    for each in found.refused:
        typer.echo(f"  letter {each.letter}: {escaped(each.why)}")
    if found.still_refused > len(found.refused):
        typer.echo(f"  and {found.still_refused - len(found.refused):,} more; --limit names them")
    if not found.letters:
        typer.echo("no letters were chosen: see `faultline dlq list`")


def _row(entry: Entry) -> tuple[str, ...]:
    letter = entry.letter
    replayed = "" if letter.replayed_from is None else f" (replay of {letter.replayed_from})"
    return (
        str(letter.offset),
        format_timestamp(letter.at_ms),
        _reason(letter.reason) + replayed,
        "-" if entry.machine is None else shortened(escaped(entry.machine), _MACHINE_CHARACTERS),
        _source(letter.source),
        shortened(escaped(letter.detail), _DETAIL_CHARACTERS),
    )


def _document(entry: Entry) -> dict[str, Any]:
    letter = entry.letter
    return {
        "letter": letter.offset,
        "time": format_timestamp(letter.at_ms),
        "reason": letter.reason,
        "detail": letter.detail,
        "positions": letter.positions,
        "machine_id": entry.machine,
        "source": letter.source,
        "size_bytes": entry.size_bytes,
        "replayed_from": letter.replayed_from,
    }


def _headers(letter: Letter) -> Mapping[str, str]:
    """Those that the message came with, safe to print."""
    return {name: escaped(content) for name, content in letter.headers}


def _reason(reason: str) -> str:
    return escaped(reason) or "not said"


def _source(source: Source | None) -> str:
    if source is None:
        return "not said"
    return f"{escaped(source.topic)}/{source.partition} at {source.offset}"


def _none(found: Survey) -> str:
    if not found.seen:
        return "there are no dead letters"
    reasons = ", ".join(sorted(_reason(reason) for reason in found.seen))
    return f"no dead letter is chosen; there are letters of these reasons: {reasons}"
