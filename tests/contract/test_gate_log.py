"""What every log of the gate must do, held against the one in memory and PostgreSQL's."""

from __future__ import annotations

from msgspec import structs

from faultline.adapters.memory import MemoryDatabase
from faultline.adapters.postgres import PostgresDatabase
from faultline.gate_report import Check, Decision, GateReport
from faultline.ports.gate_log import DecisionState, GateDecision

Database = MemoryDatabase | PostgresDatabase

PUMP = "faultline-pump"
NOON = 1_795_262_400_000
REPORT = GateReport(
    (
        Check(
            name="silhouette",
            value=None,
            limit=0.1,
            must_be="at least",
            passed=True,
            reason="silhouette undefined: one cluster",
        ),
        Check(
            name="injected_recall",
            value=0.5123456789012345,
            limit=0.6,
            must_be="at least",
            passed=False,
            reason="51.2% of the injected faults found; größer wäre besser",
        ),
    ),
    champion="1",
    notes=("compared on 100 rows",),
    shadow_readings=10,
)
ONE = GateDecision(
    decision_id="job-1|history",
    model_name=PUMP,
    model_version="2",
    job_id="job-1",
    at_ms=NOON,
    decision=Decision.REFUSED,
    reason=REPORT.reason,
    report=REPORT,
)


def test_a_decision_is_read_back_whole(database: Database) -> None:
    log = database.gate_log()
    log.record(ONE)
    assert log.list(PUMP) == [ONE]
    assert log.list(PUMP, "2") == [ONE]


def test_decisions_come_newest_first_and_only_those_asked_for(database: Database) -> None:
    log = database.gate_log()
    later = structs.replace(ONE, decision_id="job-1|shadow", at_ms=NOON + 1)
    other_version = structs.replace(ONE, decision_id="job-2|history", model_version="3")
    other_model = structs.replace(ONE, decision_id="job-3|history", model_name="faultline-valve")
    for one in (ONE, later, other_version, other_model):
        log.record(one)
    assert log.list(PUMP, "2") == [later, ONE]
    assert log.list(PUMP) == [later, other_version, ONE]
    assert log.list(PUMP, limit=1) == [later]
    assert log.list("faultline-fan") == []
    assert log.list("\0") == []


def test_a_decision_made_again_replaces_the_first(database: Database) -> None:
    log = database.gate_log()
    log.record(ONE)
    again = structs.replace(ONE, decision=Decision.PASSED, report=GateReport(()))
    log.record(again)
    assert log.list(PUMP) == [again]


def test_a_version_is_named_when_it_is_there(database: Database) -> None:
    log = database.gate_log()
    log.record(structs.replace(ONE, model_version=None))
    assert log.list(PUMP, "2") == []
    log.name_version(ONE.decision_id, "2")
    log.name_version(ONE.decision_id, "2")
    log.name_version("unknown", "2")
    assert log.list(PUMP, "2") == [ONE]


def test_what_is_not_told_yet_is_found_oldest_first(database: Database) -> None:
    log = database.gate_log()
    later = structs.replace(
        ONE, decision_id="job-1|shadow", at_ms=NOON + 1, state=DecisionState.DECIDED
    )
    other = structs.replace(
        later, decision_id="job-2|shadow", at_ms=NOON, model_name="faultline-valve"
    )
    for one in (ONE, later, other):
        log.record(one)
    assert log.unfinished(PUMP) == [later]
    assert [one for one in log.unfinished() if one in (ONE, later, other)] == [other, later]
    log.advance(later, DecisionState.APPLIED)
    assert log.unfinished(PUMP) == [structs.replace(later, state=DecisionState.APPLIED)]
    log.advance(later, DecisionState.TOLD)
    assert log.unfinished(PUMP) == []


def test_who_has_told_a_decision_that_was_replaced_meanwhile_leaves_the_new_one(
    database: Database,
) -> None:
    log = database.gate_log()
    decided = structs.replace(ONE, state=DecisionState.DECIDED)
    again = structs.replace(decided, at_ms=NOON + 1)
    log.record(decided)
    log.record(again)
    log.advance(decided, DecisionState.TOLD)
    assert log.unfinished(PUMP) == [again]
