from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faultline.alarms import AlarmPolicy
from faultline.judge import Explanation, judge
from faultline.machine_state import MachineState
from faultline.offline import scoring
from faultline.offline.models import Loaded
from faultline.offline.output import Unwritable, require_writable, write_scores
from faultline.offline.reading import read_table
from faultline.offline.scoring import Scored, score_table
from faultline.offline.sickness import Sickness, sick_sensors, sick_spans
from faultline.offline.table import Layout, Table
from faultline.sources.csv import CsvFile
from faultline.verdicts import Status, Verdict

WriteCsv = Callable[..., Path]
MACHINES = Layout(machine_column="machine")


def scored_file(
    loaded: Loaded, path: Path, layout: Layout | None = None, **options: object
) -> tuple[Table, Scored]:
    table = read_table(path, layout or Layout(), loaded.model.detector.sensors)
    return table, score_table(loaded.model, table, "machine", "pump", **options)  # type: ignore[arg-type]


def lines_of(
    path: Path, table: Table, scored: Scored, *, details: bool = False
) -> list[dict[str, str]]:
    write_scores(path, table, scored, details=details)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_scores_are_what_the_stream_would_say_of_the_same_readings(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    path = write_csv("day.csv", pump.faulty_rows())
    _, scored = scored_file(loaded, path)
    readings = list(CsvFile(path, "machine", "pump").readings())
    state, alarm = MachineState(), []
    verdicts: list[Verdict] = []
    for reading in readings:
        judged = judge(loaded.model, state, [reading], AlarmPolicy(), Explanation(0.0, None))
        state = judged.state
        verdicts += judged.batch.verdicts
        alarm.append(state.alarms.alarm is not None)

    assert list(scored.status) == [verdict.status for verdict in verdicts]
    assert scored.alarm.tolist() == alarm
    np.testing.assert_allclose(
        scored.score,
        np.array([np.nan if verdict.score is None else verdict.score for verdict in verdicts]),
        rtol=1e-9,
    )
    assert scored.cluster.tolist() == [
        -1 if verdict.cluster is None else verdict.cluster for verdict in verdicts
    ]
    assert scored.top_sensor == [
        verdict.contributions[0].sensor if verdict.contributions else "" for verdict in verdicts
    ]


def test_a_fault_is_one_alarm_that_opens_and_closes_around_it(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    _, scored = scored_file(loaded, write_csv("day.csv", pump.faulty_rows()))
    [alarm] = scored.alarms
    assert alarm.top_sensors[0].sensor == "efficiency"
    rows = np.flatnonzero(scored.alarm)
    assert pump.fault_from < rows[0] < pump.fault_from + 60
    assert pump.fault_to < rows[-1] < pump.fault_to + 80
    assert np.diff(rows).max() == 1


def test_a_lasting_new_state_no_longer_counts_as_an_alarm_and_the_old_one_ends_it(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    rule = replace(loaded.model.detector.rule, settle_ms=200_000)
    model = replace(loaded.model, detector=replace(loaded.model.detector, rule=rule))
    rows = pump.rows(9, 900)
    rows[300:700, pump.sensors.index("efficiency")] -= 15.0
    table = read_table(write_csv("change.csv", rows), Layout(), model.detector.sensors)

    scored = score_table(model, table, "machine", "pump")

    assert scored.alarm[350:500].all()
    settled = np.flatnonzero([status is Status.NEW_NORMAL for status in scored.status])
    assert 500 < settled[0] < 580
    assert not scored.alarm[settled].any()
    assert len(scored.alarms) == 1
    assert scored.alarms[0].closed_at_ms is not None
    assert not scored.alarm[760:].any()


@pytest.mark.parametrize("part_rows", [1, 7, 64])
def test_the_size_of_the_parts_makes_no_difference(
    loaded: Loaded, write_csv: WriteCsv, pump: Any, monkeypatch: pytest.MonkeyPatch, part_rows: int
) -> None:
    path = write_csv("day.csv", pump.faulty_rows())
    _, whole = scored_file(loaded, path)
    monkeypatch.setattr(scoring, "PART_ROWS", part_rows)
    _, parts = scored_file(loaded, path)
    assert same(whole, parts)


@pytest.mark.parametrize("cut", [3, 320, 350, 420])
def test_a_file_cut_in_two_gives_the_same_when_the_state_goes_on(
    loaded: Loaded, write_csv: WriteCsv, pump: Any, cut: int
) -> None:
    rows = pump.faulty_rows()
    _, whole = scored_file(loaded, write_csv("day.csv", rows))
    _, first = scored_file(loaded, write_csv("am.csv", rows[:cut]))
    afternoon = write_csv("pm.csv", rows[cut:], pump.times(len(rows) - cut, cut))
    _, second = scored_file(loaded, afternoon, states=first.states)
    np.testing.assert_allclose(np.concatenate((first.score, second.score)), whole.score, rtol=1e-9)
    assert [*first.status, *second.status] == list(whole.status)
    assert [*first.alarm, *second.alarm] == whole.alarm.tolist()


def test_every_format_gives_the_same_scores(
    loaded: Loaded, write_csv: WriteCsv, pump: Any, tmp_path: Path
) -> None:
    rows = pump.faulty_rows()
    _, plain = scored_file(loaded, write_csv("day.csv", rows))
    others = [
        write_csv("day.txt", rows, separator=";", decimal=","),
        write_csv("day.tsv", rows, separator="\t"),
        tmp_path / "day.csv.gz",
        tmp_path / "day.parquet",
    ]
    others[2].write_bytes(gzip.compress(pump.csv_text(rows).encode()))
    columns = dict(zip(pump.sensors, rows.T, strict=True))
    pq.write_table(pa.table({"timestamp": pump.times(len(rows)), **columns}), others[3])
    for path in others:
        _, scored = scored_file(loaded, path)
        assert np.array_equal(scored.score, plain.score, equal_nan=True), path.name
        assert same(scored, plain), path.name


def test_late_and_doubled_rows_keep_their_lines_and_change_no_other(
    loaded: Loaded, write_csv: WriteCsv, pump: Any, tmp_path: Path
) -> None:
    rows, stamps = pump.faulty_rows(), pump.times(600)
    disturbed = write_csv(
        "day.csv",
        np.insert(rows, [200, 350], rows[0], axis=0),
        [*stamps[:200], stamps[5], *stamps[200:350], stamps[349], *stamps[350:]],
    )
    _, plain = scored_file(loaded, write_csv("plain.csv", rows))
    table, scored = scored_file(loaded, disturbed)
    assert (scored.status[200], scored.status[351]) == (Status.LATE, Status.DUPLICATE)
    assert not scored.alarm[200]
    assert scored.alarm[351]
    others = np.delete(np.arange(602), [200, 351])
    assert np.array_equal(scored.score[others], plain.score, equal_nan=True)
    assert scored.alarm[others].tolist() == plain.alarm.tolist()
    lines = lines_of(tmp_path / "scores.csv", table, scored)
    assert [line["timestamp"] for line in lines] == list(table.timestamps)
    assert (lines[200]["score"], lines[200]["cluster"], lines[200]["top_share"]) == ("", "", "")


def test_rows_without_any_value_have_a_line_and_leave_the_alarm_as_it_is(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    rows, stamps = pump.faulty_rows(), pump.times(600)
    stamps = [stamp.replace(".000Z", ".500Z") for stamp in stamps]
    empty = np.full(4, np.nan)
    between = write_csv(
        "day.csv",
        np.insert(rows, [100, 380], empty, axis=0),
        [*pump.times(100), stamps[99], *pump.times(280, 100), stamps[379], *pump.times(220, 380)],
    )
    _, plain = scored_file(loaded, write_csv("plain.csv", rows))
    _, scored = scored_file(loaded, between)
    assert scored.status[100] is Status.INSUFFICIENT_DATA
    assert np.isnan(scored.score[100])
    assert [scored.alarm[100], scored.alarm[381]] == [False, True]
    others = np.delete(np.arange(602), [100, 381])
    assert np.array_equal(scored.score[others], plain.score, equal_nan=True)


def test_a_file_that_begins_anew_is_scored_anew(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    rows, stamps = pump.faulty_rows(), pump.times(600)
    both = np.concatenate((pump.rows(9, 600), rows))
    _, once = scored_file(loaded, write_csv("once.csv", rows))
    _, twice = scored_file(loaded, write_csv("twice.csv", both, [*stamps, *stamps]))
    assert len(twice.alarms) == 1
    assert not twice.alarm[:600].any()
    again = twice.alarm[600:]
    assert again[pump.fault_from :].tolist() == once.alarm[pump.fault_from :].tolist()


def test_machines_are_judged_each_by_itself(
    loaded: Loaded, write_csv: WriteCsv, pump: Any, tmp_path: Path
) -> None:
    rows, healthy = pump.faulty_rows(), pump.faulty_rows()[:300]
    mixed = np.empty((600, 4))
    mixed[::2], mixed[1::2] = healthy, rows[150:450]
    stamps = [
        stamp for pair in zip(pump.times(300), pump.times(300), strict=True) for stamp in pair
    ]
    path = write_csv("fleet.csv", mixed, stamps, machine_ids=["p-1", "p-2"] * 300)
    _, alone = scored_file(loaded, write_csv("alone.csv", rows[150:450]))
    table, scored = scored_file(loaded, path, MACHINES)
    assert np.array_equal(scored.score[1::2], alone.score, equal_nan=True)
    assert {alarm.machine_id for alarm in scored.alarms} == {"p-2"}
    assert not scored.alarm[::2].any()
    lines = lines_of(tmp_path / "scores.csv", table, scored)
    assert list(lines[0])[:3] == ["timestamp", "machine_id", "score"]
    assert [line["machine_id"] for line in lines[:2]] == ["p-1", "p-2"]


def test_a_sensor_that_the_file_lacks_is_scored_without(
    loaded: Loaded, tmp_path: Path, write_csv: WriteCsv, pump: Any
) -> None:
    path = write_csv("day.csv", pump.faulty_rows())
    lines = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    table, scored = scored_file(loaded, path)
    assert "vibration" not in table.sensors
    assert np.isfinite(scored.score).any()
    assert "vibration" not in scored.top_sensor


def test_a_score_that_is_read_back_is_the_same_number(
    loaded: Loaded, write_csv: WriteCsv, pump: Any, tmp_path: Path
) -> None:
    table, scored = scored_file(loaded, write_csv("day.csv", pump.faulty_rows()))
    lines = lines_of(tmp_path / "scores.csv", table, scored)
    assert list(lines[0]) == [
        "timestamp",
        "score",
        "alarm",
        "status",
        "cluster",
        "top_sensor",
        "top_share",
    ]
    written = [float(line["score"]) if line["score"] else np.nan for line in lines]
    assert np.array_equal(written, scored.score, equal_nan=True)
    assert {line["alarm"] for line in lines} == {"0", "1"}
    at_fault = lines[pump.fault_to - 1]
    assert (at_fault["status"], at_fault["top_sensor"]) == ("failure", "efficiency")
    assert 0.5 < float(at_fault["top_share"]) <= 1.0


def stuck_day(pump: Any) -> np.ndarray[Any, Any]:
    rows = pump.rows(9, 600)
    rows[200:500, pump.sensors.index("pressure")] = rows[200, pump.sensors.index("pressure")]
    rows[550:555, pump.sensors.index("flow")] = np.nan
    return rows


def test_sick_sensors_are_told_with_their_rows_and_those_that_the_file_lacks_are_not(
    loaded: Loaded, write_csv: WriteCsv, pump: Any
) -> None:
    path = write_csv("day.csv", stuck_day(pump))
    text = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(text))
    table, scored = scored_file(loaded, path)
    stuck, missing = sick_sensors(scored, table)
    assert (stuck.sensor, stuck.what, stuck.last) == ("pressure", "stuck", 499)
    assert 200 < stuck.first < 300
    assert stuck.rows == stuck.last - stuck.first + 1
    assert missing == Sickness("machine", "flow", "missing", 5, 550, 554)
    assert list(sick_spans(scored, np.arange(600), "pressure", ("stuck",))) == [
        (stuck.first, stuck.last)
    ]


def test_the_details_name_the_reason_and_the_health_beside_the_usual_columns(
    loaded: Loaded, write_csv: WriteCsv, pump: Any, tmp_path: Path
) -> None:
    table, scored = scored_file(loaded, write_csv("day.csv", stuck_day(pump)))
    plain = lines_of(tmp_path / "plain.csv", table, scored)
    lines = lines_of(tmp_path / "details.csv", table, scored, details=True)
    assert list(lines[0])[len(plain[0]) :] == ["known", "reason", "health"]
    assert [lines[0][name] for name in ("known", "reason", "health")] == ["", "", ""]
    assert (lines[450]["reason"], lines[450]["health"]) == ("SENSOR_FAULT", "pressure:stuck")
    assert (lines[552]["known"], lines[552]["health"]) == ("1", "flow:missing")
    assert [{name: line[name] for name in plain[0]} for line in lines] == plain


def test_a_place_that_cannot_be_written_to_is_said_before_the_work(tmp_path: Path) -> None:
    source = tmp_path / "day.csv"
    source.touch()
    require_writable(tmp_path / "scores.csv", source)
    with pytest.raises(Unwritable, match="there is no folder"):
        require_writable(tmp_path / "nowhere" / "scores.csv", source)
    with pytest.raises(Unwritable, match="is a folder"):
        require_writable(tmp_path, source)
    with pytest.raises(Unwritable, match="is the input itself"):
        require_writable(tmp_path / "." / "day.csv", source)


def same(one: Scored, other: Scored) -> bool:
    texts: Sequence[tuple[object, object]] = (
        (list(one.status), list(other.status)),
        (one.alarm.tolist(), other.alarm.tolist()),
        (one.cluster.tolist(), other.cluster.tolist()),
        (list(one.top_sensor), list(other.top_sensor)),
    )
    return all(first == second for first, second in texts) and np.allclose(
        one.score, other.score, rtol=1e-9, equal_nan=True
    )
