"""Letters: read from headers, chosen, written to a file and back, and sent again when valid."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline import topics
from faultline.dead_letters import (
    CONFLICT,
    REPLAYED_FROM,
    Letter,
    Replay,
    Selection,
    Source,
    letter_headers,
    read_letter,
    record_of,
    records_in,
    replay,
    survey,
)
from faultline.errors import FaultlineError
from faultline.ports.broker import Headers, Message, Partition
from faultline.readings import Reading, encode, encode_batch, make_reading

_REFUSED = Partition(topics.READINGS.name, 3)
_DLQ = Partition(topics.READINGS_DLQ.name, 0)


def _reading(at_ms: int, machine_id: str = "p") -> Reading:
    return make_reading(machine_id, at_ms, {"flow": 1.5}, "pump")


def _letter(
    value: bytes = b"not json",
    *,
    offset: int = 7,
    at_ms: int = 1_000,
    reason: str = "invalid_message",
    detail: str = "message is not valid JSON",
    positions: Sequence[int] = (),
    key: bytes | None = b"p",
    headers: Headers = (),
    topic: str = topics.READINGS.name,
) -> Letter:
    """A letter as the recorder writes it, read back."""
    source = Message(Partition(topic, 3), 42, key, value, headers)
    told = letter_headers(source, reason, detail, positions, at_ms)
    return read_letter(Message(_DLQ, offset, key, value, told, 5_000))


def _replayed(
    *letters: Letter, conflicts: bool = False, limit: int = 10
) -> tuple[list[tuple[int, list[int]]], Replay]:
    """Which letters' readings were sent, by their times, and what was found."""
    sent: list[tuple[int, list[int]]] = []

    def send(letter: Letter, readings: Sequence[Reading]) -> None:
        sent.append((letter.offset, [each.timestamp_ms for each in readings]))

    found = Replay()
    replay(letters, send, found, conflicts=conflicts, limit=limit)
    return sent, found


def _mended(letter: Letter, **fields: object) -> Letter:
    """A letter that was exported, changed and read again."""
    changed = msgspec.structs.replace(record_of(letter), **fields)
    (read,) = records_in([msgspec.json.encode(changed)], "file")
    return read


def test_a_letter_says_what_was_written_and_keeps_the_messages_own_headers() -> None:
    own = (("traceparent", b"00-1"), ("reason", b"mine"))
    letter = _letter(b"\xff", positions=(1, 3), headers=own)
    assert letter == Letter(
        offset=7,
        at_ms=1_000,
        reason="invalid_message",
        detail="message is not valid JSON",
        positions=(1, 3),
        source=Source(topics.READINGS.name, 3, 42),
        key=b"p",
        value=b"\xff",
        headers=(("traceparent", b"00-1"),),
    )


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("reason", b"\xff"), ("source_offset", b"-1"), ("time", b"noon"), ("positions", b"x,,2")),
        (("source_offset", b"9" * 5_000), ("source_partition", b"1"), ("replayed_from", b"\xff")),
    ],
)
def test_a_letter_that_someone_else_wrote_is_read_as_far_as_it_goes(headers: Headers) -> None:
    letter = read_letter(Message(_DLQ, 7, None, b"x", headers, 5_000))
    assert (letter.at_ms, letter.source, letter.replayed_from) == (5_000, None, None)


@pytest.mark.parametrize(
    "positions",
    [(), (0,), (3, 4), (*range(250), 260, *range(300, 5_000)), tuple(range(0, 30_000, 2))],
)
def test_all_positions_are_told(positions: tuple[int, ...]) -> None:
    assert _letter(positions=positions).positions == positions


@pytest.mark.parametrize("text", [b"0-99999999999", b"0-999999,0-999999", b"1-2-3", b"5-", b"9-1"])
def test_positions_that_somebody_else_wrote_fill_no_memory(text: bytes) -> None:
    letter = read_letter(Message(_DLQ, 7, None, b"x", (("positions", text),), 5_000))
    assert len(letter.positions) <= 1


def test_of_a_message_that_was_refused_in_part_only_that_part_is_sent_however_large_it_is() -> None:
    readings = [_reading(at_ms) for at_ms in range(1_000)]
    mended = _letter(encode_batch(readings), positions=range(250))
    sent, _ = _replayed(mended)
    assert sent == [(7, list(range(250)))]


def test_what_is_refused_beside_a_letters_own_readings_is_another_letters() -> None:
    refused = b'{"machine_id":"p","timestamp":0,"sensors":{"flow":true}}'
    value = b"[" + refused + b"," + encode(_reading(1_000)) + b"]"
    sent, found = _replayed(_letter(value, reason=CONFLICT, positions=(1,)), conflicts=True)
    assert sent == [(7, [1_000])]
    assert (found.still_refused, found.refused) == (0, [])


def test_a_replay_that_was_refused_again_names_the_letter_that_it_was() -> None:
    assert _letter(headers=((REPLAYED_FROM, b"12"),)).replayed_from == 12
    assert _letter().replayed_from is None


@pytest.mark.parametrize(
    ("key", "value", "machines"),
    [
        (b"p", b"not json", ("p",)),
        (None, b'{"machine_id":"q","sensors":{"x":true}}', ("q",)),
        (b"p", b'[{"machine_id":"q"},{"machine_id":5},{},{"machine_id":"p"}]', ("p", "q")),
        (None, b"[" * 10_000, ()),
        (b"\xff", b"[5]", ("\\xff",)),
    ],
)
def test_the_machines_of_a_letter_are_in_its_key_and_its_message(
    key: bytes | None, value: bytes, machines: tuple[str, ...]
) -> None:
    assert _letter(value, key=key).machines == machines


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(reasons=frozenset({"conflict", "invalid_message"})), True),
        (Selection(reasons=frozenset({"conflict"})), False),
        (Selection(machine="p"), True),
        (Selection(machine="q"), False),
        (Selection(since_ms=1_000, until_ms=1_001), True),
        (Selection(since_ms=1_001), False),
        (Selection(until_ms=1_000), False),
        (Selection(partition=3, offset=42), True),
        (Selection(partition=0), False),
        (Selection(offset=7), False),
    ],
)
def test_letters_are_chosen_by_reason_machine_time_and_source(
    selection: Selection, taken: bool
) -> None:
    assert selection.takes(_letter()) is taken


def test_a_letter_without_a_source_is_not_chosen_by_one() -> None:
    letter = read_letter(Message(_DLQ, 7, None, b"x", (), 5_000))
    assert not Selection(partition=0).takes(letter)


def test_a_survey_keeps_the_newest_without_their_bytes_and_counts_all() -> None:
    letters = [_letter(offset=n, at_ms=n, reason="ab"[n % 2]) for n in range(10)]
    found = survey(iter(letters), Selection(reasons=frozenset("a")), limit=2)
    assert [(each.letter.offset, each.machine, each.size_bytes) for each in found.newest] == [
        (8, "p", 8),
        (6, "p", 8),
    ]
    assert all(each.letter.value == b"" for each in found.newest)
    assert (found.chosen, found.seen) == (5, {"a", "b"})
    assert (found.counts["a"].first_ms, found.counts["a"].last_ms) == (0, 8)


@given(
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.sampled_from([b'{"a": 1e400}', b'{"a":\n1}', b'["\\ud800"]', b'{"a":"\xff"}', b" [1, 2]"]),
    st.none() | st.binary(max_size=5),
)
def test_any_letter_comes_back_from_a_file_byte_for_byte(value: bytes, key: bytes | None) -> None:
    letter = _letter(value, key=key, positions=(1,), detail="\x1b\u2028\n")
    line = msgspec.json.encode(record_of(letter))
    assert b"\n" not in line
    (read,) = records_in([line, b"\n"], "file")
    assert (read.value, read.key, read.source) == (letter.value, letter.key, letter.source)
    assert (read.offset, read.at_ms, read.reason) == (letter.offset, letter.at_ms, letter.reason)


def test_json_stands_in_a_file_as_json_text_as_text_and_bytes_in_base64() -> None:
    def shown(value: bytes) -> object:
        record = msgspec.json.decode(msgspec.json.encode(record_of(_letter(value))))
        return record.get("value", record.get("value_base64"))

    assert shown(b'{"machine_id": 5}') == {"machine_id": 5}
    assert shown(b'{"machine_id": NaN}') == '{"machine_id": NaN}'
    assert shown(b"\xff") == "/w=="


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"x", "line 2 is no dead letter.*malformed"),
        (b'{"offset":1,"time":"2026-11-21","valeu":"x"}', "unknown field `valeu`"),
        (b'{"offset":1,"time":"2026-11-21"}', "either value or value_base64"),
        (b'{"offset":1,"time":"2026-11-21","value":1,"value_base64":""}', "either value"),
        (b'{"offset":1,"time":"2026-11-21","value_base64":"x!"}', "line 2"),
        (b'{"offset":1,"time":"noon","value":"x"}', "neither RFC 3339"),
    ],
)
def test_a_line_that_is_no_letter_is_named(line: bytes, why: str) -> None:
    with pytest.raises(FaultlineError, match=why):
        list(records_in([b"\n", line], "file"))


def test_what_is_still_refused_is_told_and_not_sent() -> None:
    sent, found = _replayed(_letter(b"not json"), _letter(b"[7]", offset=8))
    assert (sent, found.still_refused) == ([], 2)
    assert [each.letter for each in found.refused] == [7, 8]
    assert "message is not valid JSON" in found.refused[0].why
    assert "[0] message must be a JSON object for each reading, not 7" in found.refused[1].why


def test_a_letter_that_was_mended_is_sent() -> None:
    letter = _letter(encode(_reading(1)).replace(b"1.5", b'"x"'), positions=(0,))
    mended = _mended(letter, value=msgspec.Raw(encode(_reading(1))))
    assert _replayed(letter)[0] == []
    assert _replayed(mended)[0] == [(7, [1])]


def test_of_a_message_refused_in_part_only_that_part_is_sent() -> None:
    batch = encode_batch([_reading(1), _reading(2), _reading(3)])
    letter = _letter(batch.replace(b".002Z", b".0x2Z"), positions=(1,))
    sent, found = _replayed(_mended(letter, value=msgspec.Raw(batch)))
    assert (sent, found.sent_readings, found.still_refused) == ([(7, [2])], 1, 0)
    sent, found = _replayed(letter)
    assert (sent, found.still_refused) == ([], 1)


def test_a_letter_mended_in_part_is_sent_in_part() -> None:
    good, bad = encode(_reading(2)), b'{"machine_id":"p"}'
    letter = _letter(b"[%s,7,%s]" % (good, bad), positions=(1, 2))
    sent, found = _replayed(_mended(letter, value=msgspec.Raw(b"[%s,%s,%s]" % (good, good, bad))))
    assert (sent, found.sent_letters, found.still_refused) == ([(7, [2])], 1, 1)
    assert "[2] timestamp: is missing" in found.refused[0].why


def test_where_readings_were_taken_out_of_a_message_all_that_is_left_is_sent() -> None:
    letter = _letter(encode_batch([_reading(1), _reading(2)]), positions=(1,))
    mended = _mended(letter, value=msgspec.Raw(encode(_reading(2))))
    assert _replayed(mended)[0] == [(7, [2])]


def test_conflicts_are_left_out_unless_asked_for() -> None:
    batch = encode_batch([_reading(1), _reading(2)])
    letter = _letter(batch, reason="conflict", positions=(1,))
    sent, found = _replayed(letter)
    assert (sent, found.conflicts, found.still_refused) == ([], 1, 0)
    assert _replayed(letter, conflicts=True)[0] == [(7, [2])]


def test_what_was_no_reading_is_left_out() -> None:
    sent, found = _replayed(_letter(b"{}", topic=topics.VERDICTS.name))
    assert (sent, found.other_topics) == ([], {topics.VERDICTS.name: 1})


def test_of_many_that_are_still_refused_only_some_are_named() -> None:
    _, found = _replayed(*(_letter(offset=n) for n in range(50)), limit=3)
    assert (found.still_refused, len(found.refused)) == (50, 3)


def test_a_letter_of_what_stood_in_no_topic_has_no_source() -> None:
    told = letter_headers(None, "invalid_message", "no JSON: \udcff", (2,), 1_000)
    letter = read_letter(Message(_DLQ, 7, None, b"x", told, 5_000))
    assert (letter.source, letter.positions, letter.detail) == (None, (2,), "no JSON: ?")
    assert not {"source_topic", "source_partition", "source_offset"} & {name for name, _ in told}
