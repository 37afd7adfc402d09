from __future__ import annotations

from faultline.readings import make_reading
from faultline.sources.recording import LabelledReading
from faultline.sources.truth import FaultRuns, fault_labels


def rows(faults: str, machine: str = "rig-1") -> list[LabelledReading]:
    """One row a second; a letter is a fault's name, a dot is healthy."""
    return [
        LabelledReading(make_reading(machine, s * 1_000, {"flow": 1.0}), fault.strip("."))
        for s, fault in enumerate(faults)
    ]


def spans(faults: str) -> list[tuple[str, int, int | None]]:
    return [(label.kind, label.start_ms, label.end_ms) for label in fault_labels(rows(faults))]


def test_rows_under_one_fault_are_one_label() -> None:
    assert spans("..aaa.") == [("a", 2_000, 5_000)]


def test_a_fault_that_comes_back_is_another_label() -> None:
    assert spans("a.a.") == [("a", 0, 1_000), ("a", 2_000, 3_000)]


def test_one_fault_may_follow_another_without_a_break() -> None:
    assert spans("aab.") == [("a", 0, 2_000), ("b", 2_000, 3_000)]


def test_a_fault_at_the_end_ends_just_after_the_last_row() -> None:
    assert spans(".aa") == [("a", 1_000, 2_001)]


def test_healthy_rows_have_no_label() -> None:
    assert spans("....") == []


def test_machines_do_not_end_each_others_faults() -> None:
    mixed = [row for pair in zip(rows("aaa"), rows("...", "rig-2"), strict=True) for row in pair]
    assert [(label.machine_id, label.end_ms) for label in fault_labels(mixed)] == [("rig-1", 2_001)]


def test_a_fault_is_told_when_it_begins_and_again_when_it_ends() -> None:
    runs = FaultRuns()
    told = [[label.end_ms for label in runs.observe(row)] for row in rows(".aa.")]
    assert told == [[], [None], [], [3_000]]
