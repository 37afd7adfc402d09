import pytest

from services.trainer.gate import BlockRate, GateLimits, GateReport, judge, ordinary_alarm_rate

LIMITS = GateLimits(min_rows=100, min_silhouette=0.2, pass_single_cluster=True, max_alarm_rate=0.05)
QUIET = [BlockRate(100, 0.0)] * 5


def report(
    rows: int = 500,
    silhouette: float | None = 0.6,
    blocks: list[BlockRate] = QUIET,
    limits: GateLimits = LIMITS,
) -> GateReport:
    return judge(rows=rows, silhouette=silhouette, blocks=blocks, limits=limits)


def refused(judged: GateReport) -> list[str]:
    return [check.name for check in judged.checks if not check.passed]


def test_a_good_version_passes_every_check() -> None:
    judged = report()
    assert judged.passed
    assert [check.name for check in judged.checks] == ["rows", "silhouette", "held_out_alarm_rate"]


def test_too_few_rows_are_refused() -> None:
    judged = report(rows=99)
    assert refused(judged) == ["rows"]
    assert judged.reason == "99 windows to learn from, at least 100 asked for"


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
    assert "1 windows to learn from" in reason
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
