"""Collects what was seen from the stores and the registry, and puts it into the report's words."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from faultline.alarms import Alarm
from faultline.bundle import read_bundle
from faultline.demo.host_fault import HostFault
from faultline.demo.recompute import recompute
from faultline.demo.report import (
    NO_VERSION,
    AlarmReport,
    FaultReport,
    HostReport,
    MachineReport,
    RecomputedReport,
    VersionReport,
)
from faultline.judge import Model
from faultline.matching import FaultOutcome, KnownFault, Matching, match
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore, MachineRows, StoredVerdict
from faultline.readings import format_timestamp

ALL_ROWS = 1_000_000_000


@dataclass(frozen=True)
class Way:
    """How a machine's readings came in.

    Attributes
    ----------
    sent
        Readings acknowledged.
    sent_before_first_version_ms
        Timestamp of the last one sent before the first version was live; -1 if there is none.
    """

    machine_type: str
    by_http: bool
    sent: int
    sent_before_first_version_ms: int


@dataclass(frozen=True)
class MachineRecord:
    """All that is stored of one machine; verdicts in time order."""

    rows: MachineRows
    verdicts: Sequence[StoredVerdict]

    @property
    def step_ms(self) -> int:
        """Median time between two readings."""
        if len(self.rows.timestamps_ms) < 2:
            return 0
        return int(np.median(np.diff(self.rows.timestamps_ms)))


def read_record(store: FleetStore, machine_id: str) -> MachineRecord:
    """Read everything of a machine."""
    newest_first = store.verdicts(machine_id, limit=ALL_ROWS)
    return MachineRecord(store.readings(machine_id), list(reversed(newest_first)))


def machine_report(way: Way, record: MachineRecord) -> MachineReport:
    """Count a machine's readings and verdicts."""
    verdicts = record.verdicts
    stored = set(record.rows.timestamps_ms.tolist())
    judged = {one.verdict.timestamp_ms for one in verdicts}
    named = [one.model_version or NO_VERSION for one in verdicts]
    return MachineReport(
        machine_id=record.rows.machine_id,
        machine_type=way.machine_type,
        sent_by="http" if way.by_http else "topic",
        sent=way.sent,
        stored=len(stored),
        judged=len(judged & stored),
        by_status=dict(Counter(str(one.verdict.status) for one in verdicts)),
        by_version=dict(Counter(named)),
        versions_in_order=tuple(version for version, _ in groupby(named)),
        nameless_after_first_version=sum(
            one.model_version is None
            and one.verdict.timestamp_ms > way.sent_before_first_version_ms
            for one in verdicts
        ),
    )


def load_models(registry: ModelRegistry, name: str) -> dict[str, Model]:
    """Fetch every registered version of a model, verified, by version."""
    models: dict[str, Model] = {}
    for version in registry.versions(name):
        with tempfile.TemporaryDirectory(prefix="faultline-bundle-") as folder:
            bundle = read_bundle(registry.download(name, version.version, Path(folder)))
            models[version.version] = Model(name, version.version, bundle.detector)
    return models


def recomputed_reports(
    records: Iterable[MachineRecord], models: Mapping[str, Model]
) -> tuple[RecomputedReport, ...]:
    """Recompute the verdicts of machines that are judged by these models."""
    return tuple(recompute(record.rows, record.verdicts, models) for record in records)


def version_reports(
    registry: ModelRegistry, names: Sequence[str], verdicts: Iterable[StoredVerdict]
) -> tuple[VersionReport, ...]:
    """List the versions of models, oldest first, with the verdicts that name them."""
    counted = Counter((one.model_name, one.model_version) for one in verdicts)
    return tuple(
        VersionReport(
            name=name,
            version=version.version,
            stage=str(version.stage),
            aliases=tuple(sorted(version.aliases)),
            silhouette=_number(version.tags.get("silhouette")),
            clusters=None if (k := _number(version.tags.get("k"))) is None else int(k),
            gate=version.tags.get("gate", ""),
            verdicts=counted[name, version.version],
        )
        for name in names
        for version in sorted(registry.versions(name), key=lambda one: int(one.version))
    )


def _number(tag: str | None) -> float | None:
    """Read a tag's number; a version of one cluster has no silhouette, and its tag says so."""
    try:
        number = float(tag or "")
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def window_ms(models: Mapping[str, Model], records: Iterable[MachineRecord]) -> int:
    """Time that the longest window of these models spans."""
    rows = max((model.detector.window_rows for model in models.values()), default=0)
    return rows * max((record.step_ms for record in records), default=0)


def alarm_report(alarm: Alarm) -> AlarmReport:
    """Put an alarm into the report's words."""
    return AlarmReport(
        alarm_id=alarm.alarm_id,
        machine_id=alarm.machine_id,
        opened_at=format_timestamp(alarm.opened_at_ms),
        closed_at=None if alarm.closed_at_ms is None else format_timestamp(alarm.closed_at_ms),
        peak_score=alarm.peak_score,
        sensors=tuple(top.sensor for top in alarm.top_sensors),
        why=alarm.why,
        bad_readings=alarm.bad_readings,
        model_version=alarm.model_version,
    )


def fault_reports(matching: Matching, expected: Collection[KnownFault]) -> tuple[FaultReport, ...]:
    """Put what was made of the faults into the report's words."""
    return tuple(_fault_report(outcome, expected) for outcome in matching.outcomes)


def _fault_report(outcome: FaultOutcome, expected: Collection[KnownFault]) -> FaultReport:
    label = outcome.fault.label
    return FaultReport(
        machine_id=label.machine_id,
        kind=label.kind,
        start=format_timestamp(label.start_ms),
        end=None if label.end_ms is None else format_timestamp(label.end_ms),
        hard=outcome.fault.hard,
        expected=outcome.fault in expected,
        detected=outcome.detected,
        delay_s=outcome.delay_s,
        alarm_ids=tuple(alarm.alarm_id for alarm in outcome.alarms),
        sensors=label.sensors,
        named_sensors=outcome.named_sensors,
        why=max(outcome.alarms, key=lambda alarm: alarm.peak_score).why if outcome.alarms else "",
        names_a_faulty_sensor=outcome.names_a_faulty_sensor,
    )


def host_report(
    record: MachineRecord, alarms: Sequence[Alarm], fault: HostFault, grace_ms: int
) -> HostReport:
    """Tell what was made of the real fault on this machine."""
    label = fault.label
    end_ms = (label.end_ms or label.start_ms) + grace_ms
    matching = match(
        [KnownFault(label)], alarms, {alarm.machine_type: grace_ms for alarm in alarms}
    )
    [outcome] = matching.outcomes
    scores = [
        one.verdict.score
        for one in record.verdicts
        if one.verdict.score is not None and label.start_ms <= one.verdict.timestamp_ms < end_ms
    ]
    return HostReport(
        machine_id=label.machine_id,
        start=format_timestamp(label.start_ms),
        end=format_timestamp(label.end_ms or label.start_ms),
        cores=fault.stress.cores,
        memory_bytes=fault.stress.memory_bytes,
        detected=outcome.detected,
        delay_s=outcome.delay_s,
        named_sensors=outcome.named_sensors,
        highest_score=max(scores, default=None),
        other_alarms=len(matching.false_alarms),
    )
