"""The gate's report as a page for people. It decides nothing."""

from __future__ import annotations

from faultline.gate_report import Check, GateReport


def gate_page(report: GateReport) -> str:
    """Write Markdown: the decision, every check with its value, limit and verdict, then in words.

    What is refused comes first: MLflow shows the first lines of a long table, in even columns.
    """
    checks = sorted(report.checks, key=lambda check: check.passed)
    lines = [
        f"# Gate: {report.decision}",
        "",
        "| check | value | limit | verdict |",
        "|---|---|---|---|",
        *map(_line, checks),
        "",
        *(f"- {check.name}: {check.reason}." for check in checks),
        *(f"\n{note[0].upper()}{note[1:]}." for note in report.notes),
        *([f"\nThe alarm rule: {report.alarm_rule}."] if report.alarm_rule else []),
    ]
    return "\n".join(lines) + "\n"


def _line(check: Check) -> str:
    value = "undefined" if check.value is None else f"{check.value:.4g}"
    verdict = "passed" if check.passed else "**refused**"
    return f"| {check.name} | {value} | {check.must_be} {check.limit:g} | {verdict} |"
