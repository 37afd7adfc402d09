"""The report of a demonstration for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from faultline.demo.report import (
    NO_VERSION,
    FaultReport,
    HostReport,
    MachineReport,
    Observed,
    Report,
    VersionReport,
)


def show(report: Report, console: Console) -> None:
    """Print the report: machines, faults, versions, speed, steps, and what holds."""
    observed = report.observed
    _heading(console, "Readings and verdicts")
    console.print(_machines(observed.machines))
    _legend(console, machines_sentence(observed))
    _legend(
        console,
        "no model: sent before version 1 existed; other: warming up, late, duplicate",
    )
    _heading(console, "Faults and alarms (times are the machines')")
    console.print(_faults(observed.faults))
    for fault in observed.faults:
        if fault.why:
            console.print(f"  {escape(fault_sentence(fault))}", highlight=False, soft_wrap=True)
    _legend(console, "after: from the fault's start to the alarm; (hard): reported, not demanded")
    false_alarms = [
        f"at {alarm.opened_at}, score {alarm.peak_score:.2f}: {alarm.why}"
        for alarm in observed.false_alarms
    ]
    console.print(f"false alarms: {len(false_alarms)}", highlight=False)
    for line in false_alarms:
        console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
    console.print(escape(host_sentence(observed.host)), highlight=False, soft_wrap=True)
    _heading(console, "Versions")
    console.print(_versions(observed.versions))
    _legend(console, "verdicts: those that name the version; silhouette: - when one cluster")
    speed = observed.throughput
    console.print(
        f"history: {speed.readings:,} readings, per second {speed.sent_per_s:,.0f} sent, "
        f"{speed.stored_per_s:,.0f} stored, {speed.judged_per_s:,.0f} judged "
        f"({report.cores} cores for everything)",
        highlight=False,
        soft_wrap=True,
    )
    _heading(console, "Expectations")
    for expectation in report.expectations:
        mark = "[green]holds[/green]" if expectation.holds else "[bold red]FAILS[/bold red]"
        console.print(
            f"{mark}  {escape(expectation.name)}: {escape(expectation.detail)}",
            highlight=False,
            soft_wrap=True,
        )


def machines_sentence(observed: Observed) -> str:
    """Say how the history and the live readings add up to all that was sent."""
    total = sum(machine.sent for machine in observed.machines)
    history = observed.throughput.readings
    return f"sent: {history:,} of the history + {total - history:,} live = {total:,}"


def fault_sentence(fault: FaultReport) -> str:
    """Say what the fault's worst alarm said of it, beside what it truly was."""
    return f"{fault.kind}: {fault.why}"


def host_sentence(host: HostReport) -> str:
    """Say what was made of the fault on this machine; it is told as it is, never demanded."""
    burden = f"{host.cores} busy cores and {host.memory_bytes / (1 << 20):,.0f} MiB of memory"
    score = "no score" if host.highest_score is None else f"highest score {host.highest_score:.2f}"
    if host.detected:
        named = ", ".join(host.named_sensors)
        told = f"alarm after {host.delay_s:.1f} s, naming {named}"
    else:
        told = "no alarm: not clearly busier than in training (reported, not demanded)"
    others = f"; other alarms of it: {host.other_alarms}" if host.other_alarms else ""
    return f"this machine ({host.machine_id}), burdened with {burden}: {told}; {score}{others}"


def _heading(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def _legend(console: Console, text: str) -> None:
    console.print(f"[dim]{escape(text)}[/dim]", highlight=False, soft_wrap=True)


def _table(*headings: str, numbers: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(
            heading, justify="right" if heading in numbers else "left", overflow="fold"
        )
    return table


def _machines(machines: Sequence[MachineReport]) -> Table:
    counted = ("sent", "stored", "judged", "failure", "no model", "other")
    table = _table("machine", "by", *counted, "versions", numbers=counted)
    for machine in machines:
        status = machine.by_status
        shown = {"normal", "failure", "no_model"}
        other = sum(count for name, count in status.items() if name not in shown)
        counts = (
            machine.sent,
            machine.stored,
            machine.judged,
            status.get("failure", 0),
            status.get("no_model", 0),
            other,
        )
        table.add_row(
            escape(machine.machine_id),
            machine.sent_by,
            *(f"{count:,}" for count in counts),
            ", ".join(version for version in machine.versions_in_order if version != NO_VERSION),
        )
    return table


def _faults(faults: Sequence[FaultReport]) -> Table:
    table = _table(
        "machine", "fault", "start", "found", "after", "sensors named", numbers=("after",)
    )
    for fault in faults:
        table.add_row(
            escape(fault.machine_id),
            escape(fault.kind) + (" (hard)" if fault.hard else ""),
            fault.start[11:19],
            _found(fault),
            "" if fault.delay_s is None else f"{fault.delay_s:,.0f} s",
            escape(", ".join(fault.named_sensors)),
        )
    return table


def _found(fault: FaultReport) -> str:
    if fault.detected:
        return "[green]yes[/green]"
    return "[bold red]NO[/bold red]" if fault.expected else "[yellow]no[/yellow]"


def _versions(versions: Sequence[VersionReport]) -> Table:
    numbers = ("silhouette", "clusters", "verdicts")
    table = _table("model", "version", "stage", "gate", *numbers, numbers=numbers)
    for version in versions:
        table.add_row(
            version.name,
            version.version,
            version.stage,
            escape(version.gate) or "-",
            "-" if version.silhouette is None else f"{version.silhouette:.4f}",
            "-" if version.clusters is None else str(version.clusters),
            f"{version.verdicts:,}",
        )
    return table
