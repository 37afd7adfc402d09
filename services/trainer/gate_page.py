"""The gate's report as a page for people. It decides nothing."""

from __future__ import annotations

from faultline.gate_report import Check, GateReport


def gate_page(report: GateReport) -> str:
    """Write Markdown: the decision, then every check with its value, its limit and its verdict."""
    lines = [
        f"# Gate: {report.decision}",
        "",
        f"{report.reason}.",
        "",
        "| check | value | limit | verdict | in words |",
        "|---|---|---|---|---|",
        *map(_line, report.checks),
        *(f"\n{note}." for note in report.notes),
    ]
    return "\n".join(lines) + "\n"


def _line(check: Check) -> str:
    value = "undefined" if check.value is None else f"{check.value:.6g}"
    verdict = "passed" if check.passed else "**refused**"
    words = check.reason.replace("|", r"\|")
    return f"| {check.name} | {value} | {check.must_be} {check.limit:g} | {verdict} | {words} |"
