"""MLflow's scoring formats, taken apart."""

from __future__ import annotations

import json
import math

import pytest

from faultline.errors import InvalidReading
from services.predictor.tables import from_csv, from_json

ROWS = [[1.0, 2.5], [3.0, None]]
RECORDS = [{"flow": 1.0, "heat": 2.5}, {"flow": 3.0, "heat": None}]


def test_a_split_frame_has_columns_and_rows() -> None:
    body = {"dataframe_split": {"index": [7, 8], "columns": ["flow", "heat"], "data": ROWS}}
    table = from_json(json.dumps(body).encode())
    assert table.columns == ("flow", "heat")
    assert table.rows == ROWS


def test_a_split_frame_whose_columns_are_numbered_has_no_names() -> None:
    body = {"dataframe_split": {"columns": [0, 1], "data": ROWS}}
    assert from_json(json.dumps(body).encode()).columns is None


@pytest.mark.parametrize("name", ["dataframe_records", "instances", "inputs"])
def test_records_are_rows_by_name(name: str) -> None:
    assert from_json(json.dumps({name: RECORDS}).encode()).rows == RECORDS


@pytest.mark.parametrize("name", ["instances", "inputs"])
def test_arrays_are_rows_without_names(name: str) -> None:
    table = from_json(json.dumps({name: ROWS}).encode())
    assert (table.columns, table.rows) == (None, ROWS)


def test_inputs_may_be_columns_by_name() -> None:
    table = from_json(b'{"inputs": {"flow": [1, 3], "heat": [2.5, null]}}')
    assert table.columns == ("flow", "heat")
    assert [list(row) for row in table.rows] == ROWS


def test_inputs_may_be_one_row_by_name() -> None:
    table = from_json(b'{"inputs": {"flow": 1, "heat": 2.5}}')
    assert [list(row) for row in table.rows] == ROWS[:1]


def test_a_missing_value_may_be_written_as_mlflows_client_does() -> None:
    ((flow, heat),) = from_json(b'{"inputs": [[NaN, 1.0]]}').rows
    assert math.isnan(flow)  # type: ignore[arg-type]
    assert heat == 1.0


def test_params_travel_along() -> None:
    table = from_json(b'{"inputs": [[1.0]], "params": {"machine_type": "pump"}}')
    assert table.params == {"machine_type": "pump"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "no valid JSON"),
        (b"[[1.0]]", "exactly one of"),
        (b"{}", "none of the formats given"),
        (b'{"inputs": [[1]], "instances": [[1]]}', "instances, inputs given"),
        (b'{"inputs": [1, 2]}', "Expected"),
        (b'{"inputs": [[true]]}', "got `bool`"),
        (b'{"dataframe_split": {"columns": ["a"]}}', "missing required field `data`"),
        (b'{"dataframe_split": {"data": [[1]], "rows": 1}}', "unknown field `rows`"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1], [1, 2]]}}', "row 1: 2 cells"),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', "'a' is there twice"),
        (b'{"inputs": {"a": [1, 2], "b": [1]}}', "differ in length"),
        (b'{"instances": [{"a": 1}, [1]]}', "send one kind"),
        (b'{"instances": [[1], {"a": 1}]}', "send one kind"),
        (b'{"inputs": NaN, "x": ' + b"9" * 5_000 + b"}", "no valid JSON"),
        (b'{"dataframe_split": {"data": [], "index": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_none_of_the_formats_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(InvalidReading, match=why):
        from_json(body)


def test_more_cells_than_are_taken_are_refused_before_they_are_made() -> None:
    body = {"dataframe_split": {"columns": [f"s{n}" for n in range(3_000)], "data": [[]] * 1_000}}
    with pytest.raises(InvalidReading, match="3000 columns are more than"):
        from_json(json.dumps(body).encode())


def test_a_csv_file_has_names_and_rows_of_text() -> None:
    table = from_csv("flow,heat\r\n1,2.5\r\n3,NaN\r\n".encode("utf-8-sig"))
    assert table.is_text
    assert table.columns == ("flow", "heat")
    assert table.rows == [["1", "2.5"], ["3", None]]


def test_the_index_that_pandas_writes_is_left_out() -> None:
    table = from_csv(b",flow\n0,1.5\n1,2.5\n")
    assert (table.columns, table.rows) == (("flow",), [["1.5"], ["2.5"]])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b"a\n\xff\n", "UTF-8"),
        (b"a,b\n1\n", "row 0: 1 cells, must be 2"),
        (b"a,a\n1,2\n", "'a' is there twice"),
        (b'a\n"1', "no CSV file"),
        (b"a," * 1_999 + b"a\n" + b"\n" * 1_001, "more than 2000000 cells"),
    ],
)
def test_what_is_no_csv_file_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(InvalidReading, match=why):
        from_csv(body)
