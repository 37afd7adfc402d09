"""What `faultline dlq` prints, writes and sends, with the topic in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from faultline import topics
from faultline.adapters.confluent import ConfluentBroker
from faultline.adapters.kafka import KafkaBroker
from faultline.adapters.memory import MemoryBroker
from faultline.cli.dlq import find, opened_broker, send_again
from faultline.cli.dlq_files import chosen_letters, write
from faultline.cli.dlq_output import (
    print_entries,
    print_letter,
    print_replay,
    print_summary,
)
from faultline.cli.terminal import escaped
from faultline.dead_letters import (
    REPLAYED_FROM,
    Replay,
    Selection,
    letter_headers,
    letters_of,
    record_of,
    survey,
)
from faultline.errors import Conflict, FaultlineError, NotFound
from faultline.ports.broker import Headers, Message, Partition
from faultline.readings import decode, encode, make_reading

_REFUSED = Partition(topics.READINGS.name, 3)
_GOOD = encode(make_reading("p", 1_000, {"flow": 1.5}, "pump"))
_HOSTILE = b'{"machine_id":"p"}\x1b[2J\r\x07\xff\xe2\x80\xae'


class Queue:
    """A dead-letter topic, and the topic of readings."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self._producer = self.broker.producer()

    def put(
        self, value: bytes, reason: str = "invalid_message", detail: str = "bad", key: bytes = b"p"
    ) -> None:
        headers: Headers = (("trace\x1b", b"\x1b]0;x\x07"),)
        source = Message(_REFUSED, 42, key, value, headers)
        told = letter_headers(source, reason, detail, (), 1_000)
        self._producer.send(topics.READINGS_DLQ.name, key, value, told)

    def survey(self, selection: Selection = Selection(), limit: int = 20) -> Any:  # noqa: B008
        return survey(letters_of(self.broker), selection, limit)

    def send_again(self, file: Path | None = None, *, dry_run: bool = False) -> Replay:
        with chosen_letters(self.broker, file) as letters:
            return send_again(self.broker, letters, dry_run=dry_run, conflicts=False, limit=10)

    def sent(self) -> list[Message]:
        return self.broker.sent(topics.READINGS.name)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: capsys.readouterr().out


def test_the_list_has_the_newest_first_and_says_how_many_there_are(
    queue: Queue, said: Callable[[], str]
) -> None:
    for number in range(3):
        queue.put(b"bad", detail=f"detail {number}")
    print_entries(queue.survey(limit=2), as_json=False)
    header, first, second, more = said().splitlines()
    assert header.split() == ["LETTER", "REFUSED", "REASON", "MACHINE", "SOURCE", "WHY"]
    assert first.split()[:3] == ["2", "1970-01-01T00:00:01.000Z", "invalid_message"]
    assert "sensor.readings/3 at 42  detail 2" in first
    assert second.endswith("detail 1")
    assert more == "the newest 2 of 3; --limit shows more"


def test_nothing_of_a_letter_that_a_terminal_would_obey_is_printed(
    queue: Queue, said: Callable[[], str]
) -> None:
    queue.put(_HOSTILE, reason="a\x1b[1m", detail="b\x9b\n\u202e", key=b"k\x1b\xff")
    print_entries(queue.survey(), as_json=False)
    print_summary(queue.survey(), as_json=False)
    print_entries(queue.survey(Selection(machine="none")), as_json=False)
    print_letter(find(queue.broker, 0), as_json=False)
    text = said()
    assert all(each.isprintable() for line in text.split("\n") for each in line)
    assert r'  {"machine_id":"p"}\x1b[2J\r\x07\xff\u202e' in text
    assert r"header trace\x1b: \x1b]0;x\x07" in text


@pytest.mark.parametrize("value", [b"\x00\x1b\x7f", "\x85\u200f\ud7ff".encode(), b"\xed\xa0\x80"])
def test_what_is_escaped_can_be_printed(value: bytes) -> None:
    assert escaped(value).isprintable()
    assert "\\" in escaped(value)


def test_the_lines_of_a_message_cannot_be_taken_for_ours(
    queue: Queue, said: Callable[[], str]
) -> None:
    queue.put(b"bad\nreason: none")
    print_letter(find(queue.broker, 0), as_json=False)
    assert said().endswith("\n\n  bad\n  reason: none\n")


def test_as_json_too_nothing_reaches_the_terminal_that_it_would_obey(
    queue: Queue, said: Callable[[], str]
) -> None:
    value = '{"a":"\x9b2J\x7f\u202e"}'
    queue.put(value.encode(), detail="d\x9b31m\u202e")
    print_letter(find(queue.broker, 0), as_json=True)
    print_entries(queue.survey(), as_json=True)
    printed = said()
    assert printed.replace("\n", "").isprintable()
    assert r'"a": "\u009b2J\u007f\u202e"' in printed


def test_a_letter_can_be_had_as_json(queue: Queue, said: Callable[[], str]) -> None:
    queue.put(_GOOD)
    print_letter(find(queue.broker, 0), as_json=True)
    told = json.loads(said())
    assert (told["offset"], told["value"], told["key"]) == (0, json.loads(_GOOD), "p")
    assert told["source"] == {"topic": "sensor.readings", "partition": 3, "offset": 42}


def test_the_summary_counts_by_reason(queue: Queue, said: Callable[[], str]) -> None:
    for reason in ("conflict", "invalid_sensors", "conflict"):
        queue.put(b"bad", reason=reason)
    print_summary(queue.survey(), as_json=True)
    told = json.loads(said())
    assert [(each["reason"], each["letters"]) for each in told["reasons"]] == [
        ("conflict", 2),
        ("invalid_sensors", 1),
    ]


def test_a_choice_that_finds_none_names_the_reasons_there_are(
    queue: Queue, said: Callable[[], str]
) -> None:
    print_entries(queue.survey(), as_json=False)
    assert said() == "there are no dead letters\n"
    queue.put(b"bad")
    print_entries(queue.survey(Selection(reasons=frozenset({"x"}))), as_json=False)
    assert "letters of these reasons: invalid_message" in said()


def test_a_letter_that_is_not_there_is_said_so(queue: Queue) -> None:
    queue.put(b"bad")
    with pytest.raises(NotFound, match="no dead letter 5: see"):
        find(queue.broker, 5)


def test_letters_are_written_to_a_new_file_only(queue: Queue, tmp_path: Path) -> None:
    queue.put(b"bad")
    queue.put(b"\xff")
    file = tmp_path / "letters.ndjson"
    assert write(letters_of(queue.broker), file) == 2
    with chosen_letters(queue.broker, file) as letters:
        assert [letter.value for letter in letters] == [b"bad", b"\xff"]
    with pytest.raises(Conflict, match="exists already"):
        write(letters_of(queue.broker), file)


def test_an_export_that_fails_leaves_no_half_of_a_file(queue: Queue, tmp_path: Path) -> None:
    queue.put(b"bad")
    letters = letters_of(queue.broker)

    def broken() -> Any:
        yield from letters
        raise FaultlineError("the broker is gone")

    with pytest.raises(FaultlineError, match="gone"):
        write(broken(), tmp_path / "letters.ndjson")
    assert list(tmp_path.iterdir()) == []


def test_a_mended_letter_is_sent_with_its_machine_as_key_and_the_letter_it_was(
    queue: Queue, tmp_path: Path
) -> None:
    queue.put(b"bad", key=b"other")
    queue.put(b"still bad")
    file = tmp_path / "letters.ndjson"
    first, second = (record_of(letter) for letter in letters_of(queue.broker))
    mended = msgspec.structs.replace(first, value=msgspec.Raw(_GOOD))
    file.write_bytes(msgspec.json.encode(mended) + b"\n" + msgspec.json.encode(second))
    found = queue.send_again(file)
    (message,) = queue.sent()
    assert decode(message.value) == decode(_GOOD)
    assert (message.key, message.headers) == (b"p", ((REPLAYED_FROM, b"0"),))
    assert (found.letters, found.sent_readings, found.still_refused) == (2, 1, 1)
    assert len(queue.broker.sent(topics.READINGS_DLQ.name)) == 2


def test_a_dry_run_says_the_same_and_sends_nothing(queue: Queue) -> None:
    queue.put(_GOOD)
    queue.put(b"bad")
    dry = queue.send_again(dry_run=True)
    assert queue.sent() == []
    assert queue.send_again() == dry
    assert len(queue.sent()) == 1


def test_a_bad_line_stops_a_replay_after_what_stands_before_it_has_gone(
    queue: Queue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.put(_GOOD)
    file = tmp_path / "letters.ndjson"
    write(letters_of(queue.broker), file)
    with file.open("ab") as more:
        more.write(b"oops\n")
    with pytest.raises(FaultlineError, match=r"letters\.ndjson, line 2 is no dead letter"):
        queue.send_again(file)
    assert len(queue.sent()) == 1
    assert "stopped after 1 readings; to send them again does no harm" in capsys.readouterr().err


def test_a_replay_says_what_it_did_and_left_out(queue: Queue, said: Callable[[], str]) -> None:
    queue.put(_GOOD)
    queue.put(_GOOD, reason="conflict")
    queue.put(b"bad\x1b")
    print_replay(queue.send_again(), dry_run=False, as_json=False)
    sent, conflicts, refused, which = said().splitlines()
    assert sent == "sent 1 readings of 1 letters"
    assert "left out 1 conflicts" in conflicts
    assert "still refused, and not sent: 1 letters" in refused
    assert which.startswith("  letter 2: [0] message is not valid JSON")


def test_a_replay_can_be_told_as_json(queue: Queue, said: Callable[[], str]) -> None:
    queue.put(b"bad")
    print_replay(queue.send_again(dry_run=True), dry_run=True, as_json=True)
    told = json.loads(said())
    assert (told["dry_run"], told["letters"], told["still_refused"]) == (True, 1, 1)
    assert told["refused"][0]["letter"] == 0


def test_letters_come_from_the_standard_input(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put(_GOOD)
    (record,) = (record_of(letter) for letter in letters_of(queue.broker))
    standard = io.TextIOWrapper(io.BytesIO(msgspec.json.encode(record)))
    monkeypatch.setattr("sys.stdin", standard)
    assert queue.send_again(Path("-")).sent_readings == 1


@pytest.mark.parametrize(
    ("client", "expected"), [("confluent", ConfluentBroker), ("kafka-python", KafkaBroker)]
)
def test_it_goes_through_the_client_that_is_set(
    client: str, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTLINE_KAFKA_CLIENT", client)
    with opened_broker("127.0.0.1:1", None) as broker:
        assert type(broker) is expected
