"""The gate's report as people read it."""

from __future__ import annotations

from services.trainer import gate_page
from services.trainer.gate import BlockRate, GateLimits, GateReport, judge


def page_of(report: GateReport) -> str:
    return gate_page.gate_page(report, report.decision)


def test_every_check_is_a_line_with_value_limit_and_verdict() -> None:
    limits = GateLimits(
        min_rows=200, min_silhouette=0.1, pass_single_cluster=True, max_alarm_rate=0.2
    )
    report = judge(rows=100, silhouette=None, blocks=[BlockRate(10, 0.01)], limits=limits)
    page = page_of(report)
    assert page.startswith("# Gate: refused\n")
    assert "| rows | 100 | at least 200 | **refused** |" in page
    assert "| silhouette | undefined | at least 0.1 | passed |" in page
    assert page.count("\n|") == 2 + len(report.checks)
    assert "- rows: 100 windows of one machine to learn from, at least 200 asked for." in page


def test_numbers_are_plain_and_what_has_passed_is_said_once() -> None:
    limits = GateLimits(
        min_rows=12_000, min_silhouette=0.1, pass_single_cluster=True, max_alarm_rate=0.2
    )
    page = page_of(judge(rows=51_760, silhouette=0.5, blocks=[BlockRate(9, 1 / 7)], limits=limits))
    assert "| rows | 51,760 | at least 12,000 | passed |" in page
    assert "| held_out_alarm_rate | 0.1429 | at most 0.2 | passed |" in page
    assert page.count("51,760") == 1


def test_what_is_refused_comes_first() -> None:
    limits = GateLimits(
        min_rows=10, min_silhouette=0.1, pass_single_cluster=False, max_alarm_rate=0.2
    )
    page = page_of(judge(rows=100, silhouette=None, blocks=[BlockRate(10, 0.01)], limits=limits))
    assert page.index("| silhouette |") < page.index("| rows |")
