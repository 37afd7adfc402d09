from __future__ import annotations

from typing import Any

import pytest

from services.trainer.gate import (
    Beside,
    BlockRate,
    Check,
    Decision,
    GateLimits,
    GateReport,
    KnownFaults,
    Pair,
    judge,
    judge_shadow,
    ordinary_alarm_rate,
)

LIMITS = GateLimits(min_rows=100, min_silhouette=0.2, pass_single_cluster=True, max_alarm_rate=0.05)
QUIET = [BlockRate(100, 0.0)] * 5


def report(
    rows: int = 500,
    silhouette: float | None = 0.6,
    blocks: list[BlockRate] = QUIET,
    limits: GateLimits = LIMITS,
    **more: Any,
) -> GateReport:
    return judge(rows=rows, silhouette=silhouette, blocks=blocks, limits=limits, **more)


def checked(judged: GateReport, name: str) -> Check:
    return next(check for check in judged.checks if check.name == name)


def refused(judged: GateReport) -> list[str]:
    return [check.name for check in judged.checks if not check.passed]


def test_a_good_version_passes_every_check() -> None:
    judged = report()
    assert judged.passed
    assert [check.name for check in judged.checks] == [
        "rows",
        "silhouette",
        "stability",
        "smallest_cluster",
        "held_out_alarm_rate",
    ]
    assert judged.decision is Decision.PASSED


def test_too_few_rows_are_refused() -> None:
    judged = report(rows=99)
    assert refused(judged) == ["rows"]
    assert judged.reason == "99 windows of one machine to learn from, at least 100 asked for"


def test_a_low_silhouette_is_refused() -> None:
    judged = report(silhouette=0.199)
    assert refused(judged) == ["silhouette"]
    assert judged.reason == "silhouette 0.199, at least 0.2 asked for"


def test_many_alarms_on_held_out_blocks_are_refused() -> None:
    judged = report(blocks=[BlockRate(100, 0.06)] * 5)
    assert refused(judged) == ["held_out_alarm_rate"]
    assert "6.00% of the ordinary held-out windows" in judged.reason


def test_limits_themselves_pass() -> None:
    assert report(rows=100, silhouette=0.2, blocks=[BlockRate(100, 0.05)] * 5).passed


def test_one_cluster_passes_by_default_and_says_so() -> None:
    judged = report(silhouette=None)
    assert judged.passed
    assert judged.checks[1].value is None
    assert judged.checks[1].reason == "silhouette undefined: one cluster, which is let through"


def test_one_cluster_is_refused_where_that_is_asked_for() -> None:
    limits = GateLimits(
        min_rows=100, min_silhouette=0.2, pass_single_cluster=False, max_alarm_rate=0.05
    )
    assert refused(report(silhouette=None, limits=limits)) == ["silhouette"]


def test_every_refusal_is_told() -> None:
    reason = report(rows=1, silhouette=0.0).reason
    assert "1 windows of one machine to learn from" in reason
    assert "silhouette 0.000" in reason


def test_one_bad_block_of_five_does_not_decide() -> None:
    assert report(blocks=[*QUIET[:4], BlockRate(100, 1.0)]).passed


def test_two_bad_blocks_of_five_do() -> None:
    assert refused(report(blocks=[*QUIET[:3], *[BlockRate(100, 1.0)] * 2])) == [
        "held_out_alarm_rate"
    ]


@pytest.mark.parametrize(
    ("blocks", "rate"),
    [
        ([BlockRate(100, 0.3)], 0.3),
        ([BlockRate(100, 0.3), BlockRate(300, 0.1)], 0.15),
        ([BlockRate(10, 0.5)] * 10, 0.5),
    ],
)
def test_the_alarm_rate_counts_windows(blocks: list[BlockRate], rate: float) -> None:
    assert ordinary_alarm_rate(blocks) == pytest.approx(rate)


def test_unstable_clusters_are_refused() -> None:
    judged = report(stability=0.79)
    assert refused(judged) == ["stability"]
    check = checked(judged, "stability")
    assert (check.value, check.limit, check.must_be) == (0.79, 0.8, "at least")
    assert "agree to 0.79 under resampling" in judged.reason
    assert report(stability=0.8).passed


def test_a_tiny_cluster_is_refused() -> None:
    judged = report(smallest_share=0.009)
    assert refused(judged) == ["smallest_cluster"]
    assert checked(judged, "smallest_cluster").limit == 0.01
    assert judged.reason.startswith("0.9% of the windows in the smallest cluster")
    assert report(smallest_share=0.01).passed


def test_without_a_champion_nothing_is_compared() -> None:
    judged = report()
    assert judged.champion is None
    assert not {"false_alarms", "injected_recall", "unwatched_sensors"} & {
        check.name for check in judged.checks
    }


def test_more_false_alarms_than_the_champion_are_refused() -> None:
    judged = report(beside=Beside("3", alarm_share=Pair(0.07, 0.01), times="X to Y"))
    assert refused(judged) == ["false_alarms"]
    check = checked(judged, "false_alarms")
    assert (check.value, check.must_be) == (0.07, "at most")
    assert check.limit == pytest.approx(0.06)
    assert "7.00% of the healthy rows from X to Y in alarm, by version 3 1.00%" in judged.reason
    assert report(beside=Beside("3", alarm_share=Pair(0.05, 0.01))).passed


def test_a_champion_with_many_alarms_lets_as_many_through() -> None:
    assert report(beside=Beside("3", alarm_share=Pair(0.4, 0.4))).passed


def test_a_lower_recall_than_the_champion_is_refused() -> None:
    judged = report(beside=Beside("3", recall=Pair(0.5, 0.56)))
    assert refused(judged) == ["injected_recall"]
    assert checked(judged, "injected_recall").limit == pytest.approx(0.51)
    assert "50.0% of the injected faults found, version 3 finds 56.0%" in judged.reason
    assert report(beside=Beside("3", recall=Pair(0.52, 0.56))).passed


@pytest.mark.parametrize(
    ("alarms", "recall", "value"),
    [(None, None, 0.0), (None, Pair(1.0, 0.5), 1.0), (Pair(0.0, 0.5), None, 1.0)],
)
def test_a_version_that_could_not_be_compared_is_refused(
    alarms: Pair | None, recall: Pair | None, value: float
) -> None:
    judged = report(
        beside=Beside("3", alarm_share=alarms, recall=recall, missing="its alarms (too few rows)")
    )
    assert refused(judged) == ["compared"]
    assert checked(judged, "compared").value == value
    assert judged.reason == (
        "not compared with version 3: its alarms (too few rows); train on a longer time range, or "
        'promote it all the same: --force --reason "..." (over HTTP `force` and `reason`)'
    )


def test_sensors_that_the_request_left_out_are_refused() -> None:
    judged = report(beside=Beside("3", unwatched=("flow", "heat")))
    assert refused(judged) == ["unwatched_sensors"]
    assert "while version 3 looks at them: flow, heat" in judged.reason


def test_fewer_known_faults_than_the_champion_finds_are_refused() -> None:
    judged = report(known_faults=KnownFaults(4, 3, 4), beside=Beside("3"))
    assert refused(judged) == ["known_faults"]
    check = checked(judged, "known_faults")
    assert check.value == 0.75
    assert check.limit == pytest.approx(0.95)
    assert "3 of 4 known faults found, the champion finds 4" in judged.reason
    assert report(known_faults=KnownFaults(4, 4, 4), beside=Beside("3")).passed
    assert report(known_faults=KnownFaults(4, 1, 0), beside=Beside("3")).passed


def test_known_faults_are_told_without_a_champion_too() -> None:
    judged = report(known_faults=KnownFaults(2, 0, None))
    assert judged.passed
    assert "0 of 2 known faults found" in judged.reason


def test_notes_are_said_and_refuse_nothing() -> None:
    judged = report(notes=("not compared: version 3 cannot be loaded",))
    assert judged.passed
    assert judged.reason.endswith("version 3 cannot be loaded")


WAITING = GateLimits(
    min_rows=100,
    min_silhouette=0.2,
    pass_single_cluster=True,
    max_alarm_rate=0.05,
    min_shadow_readings=1_000,
)


def test_a_version_waits_for_live_readings_beside_a_champion() -> None:
    judged = report(limits=WAITING, beside=Beside("3"))
    assert judged.decision is Decision.WAITING
    assert "has to score 1,000 live readings beside version 3" in judged.reason


def test_a_version_does_not_wait_while_there_is_no_champion() -> None:
    assert report(limits=WAITING).decision is Decision.PASSED


def test_a_refused_version_does_not_wait() -> None:
    assert report(rows=1, limits=WAITING, beside=Beside("3")).decision is Decision.REFUSED


def test_too_few_readings_in_the_shadow_decide_nothing() -> None:
    found = judge_shadow(champion="3", readings=999, failures=Pair(1.0, 0.0), limits=WAITING)
    assert found is None


def test_enough_readings_in_the_shadow_pass() -> None:
    judged = judge_shadow(champion="3", readings=1_000, failures=Pair(0.06, 0.01), limits=WAITING)
    assert judged is not None
    assert judged.decision is Decision.PASSED
    assert judged.reason.startswith("1,000 live readings scored beside version 3")


def test_far_more_failures_in_the_shadow_are_refused() -> None:
    judged = judge_shadow(champion="3", readings=1_000, failures=Pair(0.07, 0.01), limits=WAITING)
    assert judged is not None
    assert refused(judged) == ["shadow_failures"]
    assert "7.00% of those live readings called a failure, by version 3 1.00%" in judged.reason


def test_a_version_that_has_silenced_the_champions_alarms_is_refused() -> None:
    judged = report(beside=Beside("3", silenced=0.11))
    assert refused(judged) == ["silenced_alarms"]
    check = checked(judged, "silenced_alarms")
    assert (check.value, check.limit) == (0.11, 0.1)
    assert "11.00% of the rows that it learnt from are in alarm by version 3" in judged.reason
    assert "label the faults and train again" in judged.reason
    accepted = report(beside=Beside("3", silenced=0.1))
    assert accepted.passed
    assert "label the faults" not in accepted.reason
