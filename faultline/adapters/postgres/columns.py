"""Column types: milliseconds since the epoch as `timestamptz`, typed documents as `jsonb`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_moment(milliseconds: int) -> datetime:
    """Time of so many milliseconds since the epoch, exactly."""
    return _EPOCH + milliseconds * _MILLISECOND


class EpochMs(TypeDecorator[int]):
    """An instant: `int` milliseconds since the epoch here, `timestamptz(3)` there."""

    impl = TIMESTAMP
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(timezone=True, precision=3)

    def process_bind_param(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base class's
        """Milliseconds to an aware datetime."""
        return None if value is None else to_moment(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Aware datetime to milliseconds."""
        return None if value is None else (value - _EPOCH) // _MILLISECOND


class Document(TypeDecorator[Any]):
    """A msgspec value kept as `jsonb`.

    The engine hands JSON over as text (see `database.new_engine`), so that it is decoded once, into
    its type.

    Parameters
    ----------
    kind
        Type of the value.
    """

    impl = JSONB
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._decoder = msgspec.json.Decoder(kind)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """JSON text to the value."""
        return None if value is None else self._decoder.decode(value)
