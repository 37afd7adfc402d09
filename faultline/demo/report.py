"""The report of a demonstration: what was observed, in a form that a person and a program can read.

Structs and their JSON; how the facts were collected is not known here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from faultline.client import Comparison
from faultline.demo.lifecycle import RefusalReport, ReloadReport, RollbackReport

SCHEMA_VERSION = 2
NO_VERSION = "none"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the demonstration and the time it took."""

    name: str
    started_s: float
    took_s: float


class MachineReport(msgspec.Struct, frozen=True, kw_only=True):
    """One machine: its readings on their way, and its verdicts.

    Attributes
    ----------
    sent, stored, judged
        Readings: acknowledged to the sender, rows in the store, and rows with a verdict.
    by_status
        Verdicts by status.
    by_version
        Verdicts by the model version they name; `none` for those given before there was one.
    versions_in_order
        As the readings follow each other in time: each version once, and again if it came back.
    nameless_after_first_version
        Verdicts without a version, of readings sent after the first version was live.
    """

    machine_id: str
    machine_type: str
    sent_by: Literal["http", "topic"]
    sent: int
    stored: int
    judged: int
    by_status: dict[str, int]
    by_version: dict[str, int]
    versions_in_order: tuple[str, ...]
    nameless_after_first_version: int


class AlarmReport(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm as stored; times are the machine's.

    Attributes
    ----------
    sensors
        Those that contribute most to the peak, the largest share first.
    why
        The same in one plain sentence.
    """

    alarm_id: str
    machine_id: str
    opened_at: str
    closed_at: str | None
    peak_score: float
    sensors: tuple[str, ...]
    why: str
    bad_readings: int
    model_version: str


class FaultReport(msgspec.Struct, frozen=True, kw_only=True):
    """A known fault, and what the alarms made of it.

    Attributes
    ----------
    expected
        Whether the demonstration fails when it is missed.
    hard
        Declared beforehand as more than a detector must find.
    delay_s
        From its start to the alarm, in seconds of machine time; None when missed.
    sensors
        Those that truly show it, where known.
    named_sensors
        Those that the alarms name, at most three per alarm.
    why
        The sentence of the worst of the alarms; empty when missed.
    names_a_faulty_sensor
        None where the truth names no sensors or the fault was missed.
    """

    machine_id: str
    kind: str
    start: str
    end: str | None
    hard: bool
    expected: bool
    detected: bool
    delay_s: float | None
    alarm_ids: tuple[str, ...]
    sensors: tuple[str, ...]
    named_sensors: tuple[str, ...]
    why: str
    names_a_faulty_sensor: bool | None


class VersionReport(msgspec.Struct, frozen=True, kw_only=True):
    """A model version as the registry has it at the end.

    Attributes
    ----------
    verdicts
        How many verdicts name it.
    silhouette
        Of its clusters, exactly as the trainer computed it; None when undefined (one cluster).
    """

    name: str
    version: str
    stage: str
    aliases: tuple[str, ...]
    silhouette: float | None
    clusters: int | None
    gate: str
    verdicts: int


class RecomputedReport(msgspec.Struct, frozen=True, kw_only=True):
    """Stored verdicts against those computed anew from the stored readings and registered bundles.

    Attributes
    ----------
    scores
        Scores compared.
    differing
        Verdicts whose status, cluster or presence of a score differs.
    largest_relative_difference
        Of two scores of one reading.
    """

    machine_id: str
    verdicts: int
    scores: int
    versions: tuple[str, ...]
    differing: int
    largest_relative_difference: float


class ThroughputReport(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the history went through, all parts of the stack on this one machine.

    Attributes
    ----------
    sent_per_s, stored_per_s, judged_per_s
        Readings per second, from the first one sent to the last one acknowledged, stored, judged.
    """

    readings: int
    sent_per_s: float
    stored_per_s: float
    judged_per_s: float


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """The real fault on this machine. Reported, not demanded: a shared machine is noisy.

    Attributes
    ----------
    other_alarms
        Alarms of this machine that the fault made here does not explain.
    """

    machine_id: str
    start: str
    end: str
    cores: int
    memory_bytes: int
    detected: bool
    delay_s: float | None
    named_sensors: tuple[str, ...]
    highest_score: float | None
    other_alarms: int


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the demonstration promises, whether it holds, and the numbers behind it."""

    name: str
    holds: bool
    detail: str


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was seen; the expectations are judged from this alone."""

    machines: tuple[MachineReport, ...]
    alarms: tuple[AlarmReport, ...]
    faults: tuple[FaultReport, ...]
    false_alarms: tuple[AlarmReport, ...]
    quiet_machines: tuple[str, ...]
    versions: tuple[VersionReport, ...]
    recomputed: tuple[RecomputedReport, ...]
    throughput: ThroughputReport
    refusal: RefusalReport
    comparison: Comparison | None
    reload: ReloadReport
    rollback: RollbackReport
    host: HostReport


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of `demo-report.json`."""

    schema_version: int = SCHEMA_VERSION
    faultline_version: str
    mode: Literal["plant", "data"]
    started_at: str
    took_s: float
    cores: int
    holds: bool
    expectations: tuple[Expectation, ...]
    steps: tuple[Step, ...]
    observed: Observed


def machines_counted(number: int) -> str:
    """Say a number of machines."""
    return "1 machine" if number == 1 else f"{number:,} machines"


def write(report: Report, path: Path) -> None:
    """Write as indented JSON, replacing what was there."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def read(path: Path) -> Report:
    """Read a report back; raises `msgspec.DecodeError` when it is not one of this schema."""
    return msgspec.json.decode(path.read_bytes(), type=Report)
