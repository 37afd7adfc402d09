"""The gate's report as a page for people. It decides nothing."""

from __future__ import annotations

from faultline.gate_report import Check, GateReport


def gate_page(report: GateReport) -> str:
    """Write Markdown: the decision, every check with its value, limit and verdict, and the notes.

    What is refused comes first: MLflow shows the first lines of a long table, in even columns. Only
    that is told in words too; what the others say is in `gate.json` and the version's description.
    """
    checks = sorted(report.checks, key=lambda check: check.passed)
    lines = [
        f"# Gate: {report.decision}",
        "",
        "| check | value | limit | verdict |",
        "|---|---|---|---|",
        *map(_line, checks),
        "",
        *(f"- {check.name}: {check.reason}." for check in checks if not check.passed),
        *(f"\n{note[0].upper()}{note[1:]}." for note in report.notes),
        *([f"\nThe alarm rule: {report.alarm_rule}."] if report.alarm_rule else []),
    ]
    return "\n".join(lines) + "\n"


def _line(check: Check) -> str:
    value = "undefined" if check.value is None else _number(check.value)
    verdict = "passed" if check.passed else "**refused**"
    return f"| {check.name} | {value} | {check.must_be} {_number(check.limit)} | {verdict} |"


def _number(value: float) -> str:
    """Plainly, to four decimals.

    >>> _number(51_760.0), _number(0.5214286), _number(-0.00001)
    ('51,760', '0.5214', '0')
    """
    return f"{round(value, 4) + 0.0:,.4f}".rstrip("0").rstrip(".")
