"""Letters as lines of a file, to be mended with an editor or jq and sent again.

A message that is JSON stands in its line as JSON, byte for byte; another that is UTF-8 as text; and
what is neither in base64.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from faultline.dead_letters.letter import Letter, Source, told_headers
from faultline.errors import FaultlineError, InvalidReading
from faultline.readings import format_timestamp, parse_timestamp


class Record(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A letter in a file.

    Attributes
    ----------
    offset, time, reason, detail, positions
        As in `Letter`; the time is RFC 3339.
    readings
        How many the message had, if it could be told.
    source
        Topic, partition and offset of the refused message.
    value, value_base64
        The message, in one of them: an object, an array or text here, any bytes there.
    key, key_base64
        Likewise; neither when it has none.
    replayed_from, told
        As in `Letter`.
    """

    offset: int
    time: str
    reason: str = ""
    detail: str = ""
    positions: tuple[int, ...] = ()
    readings: int | None = None
    source: Source | None = None
    replayed_from: int | None = None
    told: Mapping[str, str] = {}
    key: str | None = None
    key_base64: str | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    value_base64: str | None = None


_record = msgspec.json.Decoder(Record)
_text = msgspec.json.Decoder(str)
_items = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def record_of(letter: Letter) -> Record:
    """Write a letter so that people can read and change it."""
    key, value = letter.key, letter.value
    key_text, value_text = _utf8(key), _utf8(value)
    shown: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    if _stands_in_a_line(value):
        shown = msgspec.Raw(value)
    elif value_text is not None:
        shown = msgspec.Raw(msgspec.json.encode(value_text))
    return Record(
        offset=letter.offset,
        time=format_timestamp(letter.at_ms),
        reason=letter.reason,
        detail=letter.detail,
        positions=letter.positions,
        readings=_count(value),
        source=letter.source,
        replayed_from=letter.replayed_from,
        told=letter.told,
        key=key_text,
        key_base64=None if key is None or key_text is not None else b64encode(key).decode(),
        value=shown,
        value_base64=None if value_text is not None else b64encode(value).decode(),
    )


def records_in(lines: Iterable[bytes], name: str) -> Iterator[Letter]:
    """The letters in a file, as someone has left them; empty lines are skipped.

    Where the number of a message's readings has changed, its letter has no `positions` any more.

    Parameters
    ----------
    name
        The file's, for what is said of it.

    Raises
    ------
    FaultlineError
        Naming the line that is no letter.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _letter(_record.decode(line))
        except (*_UNREADABLE, Base64Error, InvalidReading) as error:
            raise FaultlineError(
                f"{name}, line {number} is no dead letter as `faultline dlq export` writes it: "
                f"{error}"
            ) from error


def _letter(record: Record) -> Letter:
    if isinstance(record.value, msgspec.Raw) == (record.value_base64 is not None):
        raise InvalidReading("it needs either value or value_base64")
    if isinstance(record.value, msgspec.Raw):
        written = bytes(record.value)
        value = _text.decode(written).encode() if written.startswith(b'"') else written
    else:
        value = b64decode(record.value_base64 or "", validate=True)
    if record.key_base64 is not None:
        key: bytes | None = b64decode(record.key_base64, validate=True)
    else:
        key = None if record.key is None else record.key.encode()
    return Letter(
        offset=record.offset,
        at_ms=parse_timestamp(record.time),
        reason=record.reason,
        detail=record.detail,
        positions=record.positions if record.readings == _count(value) else (),
        source=record.source,
        key=key,
        value=value,
        headers=told_headers(record.told),
    )


def _utf8(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _stands_in_a_line(value: bytes) -> bool:
    """Whether it is a JSON object or array and nothing around it, without a line's end in it."""
    if value[:1] not in {b"{", b"["} or value[-1:] not in {b"}", b"]"}:
        return False
    if b"\n" in value or b"\r" in value:
        return False
    try:
        value.decode()
        _anything.decode(value)
    except _UNREADABLE:
        return False
    return True


def _count(value: bytes) -> int | None:
    if value.lstrip()[:1] == b"{":
        return 1
    try:
        return len(_items.decode(value))
    except _UNREADABLE:
        return None
