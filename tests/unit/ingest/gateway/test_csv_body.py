"""CSV over HTTP: what its cells mean, and which line is at fault."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from faultline.errors import InvalidReading
from faultline.readings import MAX_SENSORS, Reading, make_reading
from services.ingest.gateway.csv_body import CsvOptions, decode_csv

URL = "/api/v1/readings"
HEADERS = {"content-type": "text/csv; charset=utf-8"}


def _reading(machine_id: str, at_ms: int, machine_type: str = "default", **sensors: Any) -> Reading:
    return make_reading(machine_id, at_ms, sensors, machine_type)


def _reasons(text: str, **options: Any) -> dict[int, str]:
    decoded = decode_csv(text.encode(), CsvOptions(**options))
    return {refusal.position: refusal.reason for refusal in decoded.refusals}


def _told(text: str | bytes, **options: Any) -> str:
    body = text.encode() if isinstance(text, str) else text
    with pytest.raises(InvalidReading) as refused:
        decode_csv(body, CsvOptions(**options))
    return str(refused.value)


def test_rows_of_several_machines_are_readings() -> None:
    decoded = decode_csv(
        b"timestamp,machine_id,machine_type,flow,pressure\n"
        b"1970-01-01T00:00:01Z,p,pump,1.5,2\n"
        b"2000,q,,,NA\n"
        b"\n"
    )
    assert decoded.readings == [
        _reading("p", 1_000, "pump", flow=1.5, pressure=2.0),
        _reading("q", 2_000, flow=None, pressure=None),
    ]
    assert decoded.refusals == []


def test_a_table_of_one_machine_is_named_beside_it() -> None:
    options = CsvOptions("p", "pump", ignore=("note",))
    decoded = decode_csv(b"timestamp,flow,note\n1000,1,cleaned\n", options)
    assert decoded.readings == [_reading("p", 1_000, "pump", flow=1.0)]


def test_what_the_table_says_of_a_row_counts_more() -> None:
    body = b"timestamp,machine_id,machine_type,flow\n1000,q,fan,1\n1000,,,1\n"
    readings = decode_csv(body, CsvOptions("p", "pump")).readings
    assert [(each.machine_id, each.machine_type) for each in readings] == [
        ("q", "fan"),
        ("p", "pump"),
    ]


def test_semicolons_bring_decimal_commas_and_a_mark_of_byte_order_is_none_of_the_name() -> None:
    body = "\ufefftimestamp;machine_id;flow\r\n1000;p;1,5\r\n".encode()
    assert decode_csv(body).readings == [_reading("p", 1_000, flow=1.5)]


def test_each_row_at_fault_is_named_with_its_line_and_the_others_are_taken() -> None:
    text = (
        "timestamp,machine_id,flow,pressure\n"
        "1000,p,1,1\n"
        "1000,p,1,high\n"
        "yesterday,p,1,1\n"
        "1000,,1,1\n"
        "1000,p,1\n"
        "1000,p,inf,1\n"
        "2000,p,1,1\n"
    )
    assert len(decode_csv(text.encode()).readings) == 2
    reasons = _reasons(text)
    assert list(reasons) == [1, 2, 3, 4, 5]
    for position, field in enumerate(
        ("sensors.pressure", "timestamp", "machine_id", "body", "sensors.flow"), start=1
    ):
        assert reasons[position].startswith(field)
        assert f"line {position + 2}" in reasons[position]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "empty"),
        ("\n1000,p,1\n", "line 1 is empty"),
        ("timestamp\n1000\n", "line 1 names one column only, 'timestamp'"),
        ("time,machine_id,flow\n1000,p,1\n", "line 1: there is no column 'timestamp'"),
        ("timestamp,flow\n1000,1\n", "no column 'machine_id'; the columns are timestamp, flow"),
        ("timestamp,machine_id,flow,flow\n1000,p,1,1\n", "line 1 names the column 'flow' twice"),
        ("timestamp,machine_id\n1000,p\n", "names no sensor"),
        ("timestamp,machine_id,flow\n", "no row"),
        (b"timestamp,machine_id,flow\n1000,p,1\n1000,\xff,1\n", "line 3 is not UTF-8"),
        ('timestamp,machine_id,flow\n1000,p,"' + "1" * 200_000, "field larger"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_as_a_whole(text: str | bytes, named: str) -> None:
    assert named in _told(text)


def test_a_column_to_ignore_has_to_be_there() -> None:
    text = "timestamp,machine_id,flow\n1000,p,1\n"
    assert "no column 'note'" in _told(text, ignore=("note",))


def test_more_sensors_than_a_reading_has_are_refused_row_by_row() -> None:
    names = ",".join(f"s{number}" for number in range(MAX_SENSORS + 1))
    text = f"timestamp,machine_id,{names}\n1000,p{',1' * (MAX_SENSORS + 1)}\n"
    assert "1025 given" in _reasons(text)[0]


def test_a_header_wider_than_any_reading_is_refused_as_a_whole() -> None:
    names = ",".join(f"s{number}" for number in range(40_000))
    told = _told(f"timestamp,machine_id,{names}\n1000,p\n")
    assert told == "body: line 1 names 40002 columns; at most 1027 are read"


def test_a_header_is_as_much_wider_as_columns_are_ignored() -> None:
    ignored = [f"note{number}" for number in range(20)]
    names = [f"s{number}" for number in range(MAX_SENSORS)] + ignored
    row = f"1000,p,pump{',1' * len(names)}"
    text = f"timestamp,machine_id,machine_type,{','.join(names)}\n{row}\n"
    [reading] = decode_csv(text.encode(), CsvOptions(ignore=ignored)).readings
    assert len(reading.sensors) == MAX_SENSORS
    # Said twice, a column is left out once.
    assert "at most 1028" in _told(text, ignore=ignored[:1] * 20)


def test_a_table_is_taken_over_http_and_a_row_at_fault_told(client: TestClient) -> None:
    response = client.post(
        f"{URL}?machine_id=p&machine_type=pump&ignore=note&ignore=fault",
        content="timestamp,flow,note,fault\n1000,1,a,\n2000,x,b,\n",
        headers=HEADERS,
    )
    assert (response.status_code, response.json()["accepted"]) == (207, 1)
    [error] = response.json()["errors"]
    assert (error["index"], "(line 3)" in error["reason"]) == (1, True)


@pytest.mark.parametrize("option", ["machine_id=p", "machine_type=pump", "ignore=note"])
def test_what_only_a_table_needs_is_refused_with_json(client: TestClient, option: str) -> None:
    response = client.post(f"{URL}?{option}", json={})
    assert (response.status_code, "text/csv" in response.json()["detail"]) == (400, True)
