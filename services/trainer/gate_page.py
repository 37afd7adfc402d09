"""The gate's report as files: for programs, and as a page for people. It decides nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec

from faultline.gate_report import Check, Decision, GateReport


def write_gate(folder: Path, name: str, report: GateReport, decision: Decision) -> None:
    """Write the report, and what was decided by it, as JSON and as a page."""
    document = {
        "decision": decision,
        "passed": report.passed and decision is not Decision.SUPERSEDED,
        "reason": report.reason,
        **msgspec.structs.asdict(report),
    }
    encoded = msgspec.json.format(msgspec.json.encode(document), indent=2)
    (folder / f"{name}.json").write_bytes(encoded + b"\n")
    (folder / f"{name}.md").write_text(gate_page(report, decision), encoding="utf-8")


def gate_page(report: GateReport, decision: Decision) -> str:
    """Write Markdown: the decision, every check with its value, limit and verdict, and the notes.

    What is refused comes first: MLflow shows the first lines of a long table, in even columns. Only
    that is told in words too; what the others say is in `gate.json` and the version's description.
    """
    checks = sorted(report.checks, key=lambda check: check.passed)
    lines = [
        f"# Gate: {decision}",
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
