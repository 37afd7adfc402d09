"""Which of PostgreSQL's errors mean that waiting can help."""

from __future__ import annotations

import psycopg2
import pytest

from faultline.adapters.postgres.outages import outages_as_unavailable
from faultline.errors import Unavailable


class _EntryTooLong(psycopg2.OperationalError):
    """As the driver raises it for an index entry over a third of a page."""

    pgcode = "54000"


def test_a_row_over_a_limit_is_no_outage() -> None:
    with pytest.raises(_EntryTooLong), outages_as_unavailable():
        raise _EntryTooLong


def test_a_connection_that_is_lost_is_an_outage() -> None:
    with pytest.raises(Unavailable), outages_as_unavailable():
        raise psycopg2.OperationalError("server closed the connection")
