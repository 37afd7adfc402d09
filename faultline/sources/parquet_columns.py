"""What a column of a Parquet file can be read as. Every reader of Parquet stands on this one.

Needs pyarrow, which the extra ``trainer`` brings.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa


class Times(NamedTuple):
    """A column of times.

    Attributes
    ----------
    cells
        One a row: a number, or RFC 3339 text.
    dated
        Whether the column's type says that they are times: then they are milliseconds since 1970.
    """

    cells: list[str]
    dated: bool


def is_number(kind: pa.DataType) -> bool:
    """Whether its cells are numbers, true and false, or all missing."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def times(column: pa.Array | pa.ChunkedArray) -> Times | None:
    """Read a column as times; None when its type can hold none.

    Parameters
    ----------
    column
        Without missing cells.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        whole = column.cast(pa.timestamp("ms", zone), safe=False).cast(pa.int64())
        return Times(whole.cast(pa.string()).to_pylist(), dated=True)
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if texts or (is_number(kind) and not pa.types.is_boolean(kind)):
        return Times(column.cast(pa.string()).to_pylist(), dated=False)
    return None
