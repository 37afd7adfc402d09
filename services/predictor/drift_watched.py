"""One machine type that is watched for drift: its sample, and a look at all replicas'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from faultline.detector.reference import Reference, machine_offsets, slow_sensors
from faultline.drift import DriftEvent, DriftPart, Finding
from faultline.judge import Model
from faultline.ports.clock import Clock
from faultline.readings import Reading
from faultline.telemetry import logger
from faultline.verdicts import Status, Verdict
from services.predictor.drift_counts import Counts, added, counted, packed, unpacked
from services.predictor.drift_onset import DriftPolicy, Onsets, excess
from services.predictor.drift_sample import DriftSample, Rows

log = logger(__name__)

COUNTED = frozenset({Status.NORMAL, Status.NEW_NORMAL})
_CELLS = 16 * 1024 * 1024
"""Numbers kept of all machine types together, 128 MB; they share the room."""


class Seen(NamedTuple):
    """Readings of one machine and what the version in Production said of them."""

    machine_id: str
    readings: Sequence[Reading]
    verdicts: Sequence[Verdict]
    model: Model


@dataclass(frozen=True)
class Look:
    """What the latest look at a machine type found, over all replicas.

    Attributes
    ----------
    at_ms
        When, milliseconds since the epoch.
    start_ms, end_ms
        First and last of the readings compared, by their own time; None without any.
    readings, machines
        How many were compared, and of how many machines replicas that run have some.
    findings
        Every comparison, the farthest over its threshold first.
    drifting
        Those of them that drift.
    """

    machine_type: str
    model: Model
    at_ms: int
    start_ms: int | None
    end_ms: int | None
    readings: int
    machines: int
    findings: tuple[Finding, ...]
    drifting: tuple[Finding, ...]


class Watched:
    """One machine type."""

    def __init__(
        self, machine_type: str, model: Model, reference: Reference, policy: DriftPolicy
    ) -> None:
        self.machine_type = machine_type
        self._onsets = Onsets(policy.limits, policy.cooldown_s, policy.runs_ms)
        self._runs_ms = policy.runs_ms
        self._window_ms = round(policy.window_s * 1_000)
        self._limits = policy.limits
        self._rows = policy.rows
        self.begin(model, reference)

    def begin(self, model: Model, reference: Reference) -> None:
        """Begin with a version: what another one said of readings is not to be compared."""
        detector = model.detector
        self.model = model
        self._reference = reference
        self._offsets = machine_offsets(detector)
        self._slow = slow_sensors(detector)
        self._sample = DriftSample(len(detector.sensors), self._window_ms, self._rows)
        self._onsets.begin_anew()

    def resize(self, types: int) -> None:
        """Leave room for so many machine types."""
        columns = len(self.model.detector.sensors) + 4
        self._rows = max(1, min(self._rows, _CELLS // (types * columns)))
        self._sample.resize(self._rows)

    def add(self, judged: Seen, now_s: float) -> None:
        """Sample readings."""
        offset = self._offsets.get(judged.machine_id)
        if offset is None and self._offsets:
            return
        pairs = zip(judged.readings, judged.verdicts, strict=True)
        counted = [pair for pair in pairs if pair[1].status in COUNTED]
        times = np.array([verdict.timestamp_ms for _, verdict in counted], dtype=np.int64)
        taken = [counted[row] for row in self._sample.wanted(judged.machine_id, times).tolist()]
        sensors = self.model.detector.sensors
        values = np.array(
            [[reading.sensors.get(name) for name in sensors] for reading, _ in taken],
            dtype=np.float64,
        ).reshape(len(taken), len(sensors))
        said = [verdict for _, verdict in taken]
        rows = Rows(
            machine=np.zeros(len(taken), dtype=np.int64),
            timestamps_ms=np.array([one.timestamp_ms for one in said], dtype=np.int64),
            cluster=np.array([one.cluster for one in said], dtype=np.int64),
            score=np.array([one.score for one in said], dtype=np.float64),
            values=values if offset is None else values - offset,
        )
        self._sample.add(judged.machine_id, rows, now_s)

    def part(self, replica: str, clock: Clock) -> DriftPart | None:
        """Count what is sampled here; None without any readings."""
        rows = self._sample.rows(clock.monotonic_s())
        times = rows.timestamps_ms
        if not len(times):
            return None
        return DriftPart(
            replica=replica,
            machine_type=self.machine_type,
            bundle_sha256=self.model.bundle_sha256,
            at_ms=clock.now_ms(),
            start_ms=int(times.min()),
            end_ms=int(times.max()),
            machines=rows.machines,
            counts=packed(counted(self._reference, rows)),
        )

    def running(self, parts: Sequence[DriftPart], now_ms: int) -> list[DriftPart]:
        """Those of the parts whose replicas run, and judge by this version."""
        return [
            part
            for part in parts
            if part.bundle_sha256 == self.model.bundle_sha256
            and part.at_ms >= now_ms - self._runs_ms
        ]

    def look(self, parts: Sequence[DriftPart], now_ms: int) -> Look:
        """Compare what all replicas counted.

        The readings of those that run no more count; their machines are others' now.
        """
        from services.predictor.drift_look import look  # noqa: PLC0415 - SciPy, when it is needed

        own = [part for part in parts if part.bundle_sha256 == self.model.bundle_sha256]
        counts = [(part, one) for part in own if (one := self._unpacked(part)) is not None]
        total = added([one for _, one in counts], self._reference) if counts else None
        found: tuple[Finding, ...] = ()
        if total is not None:
            sensors = self.model.detector.sensors
            found = look(sensors, self._slow, self._reference, total, self._limits)
        found = tuple(sorted(found, key=excess, reverse=True))
        self._onsets.follow(found, now_ms)
        return Look(
            machine_type=self.machine_type,
            model=self.model,
            at_ms=now_ms,
            start_ms=min((part.start_ms for part, _ in counts), default=None),
            end_ms=max((part.end_ms for part, _ in counts), default=None),
            readings=0 if total is None else total.readings,
            machines=sum(
                part.machines for part in self.running([one for one, _ in counts], now_ms)
            ),
            findings=found,
            drifting=tuple(one for one in found if self._onsets.drifting(one)),
        )

    def untold(self) -> bool:
        """Whether something drifts of which nothing has been told."""
        return self._onsets.untold()

    def hear(self, event: DriftEvent) -> None:
        """Take in what was told, here or by another replica."""
        own = (self.model.name, self.model.version)
        same = (event.model_name, event.model_version) == own
        self._onsets.hear(event, same_version=same)

    def event(self, seen: Look) -> DriftEvent | None:
        """What there is to tell after a look; None when that is nothing, or not yet."""
        drifting = self._onsets.to_tell(seen.findings, seen.at_ms)
        if not drifting or seen.start_ms is None or seen.end_ms is None:
            return None
        return DriftEvent(
            event_id=self._onsets.event_id(self.machine_type, self.model.bundle_sha256),
            machine_type=self.machine_type,
            model_name=self.model.name,
            model_version=self.model.version,
            at_ms=seen.at_ms,
            findings=drifting,
            start_ms=seen.start_ms,
            end_ms=seen.end_ms,
            readings=seen.readings,
            machines=seen.machines,
        )

    def _unpacked(self, part: DriftPart) -> Counts | None:
        try:
            return unpacked(part.counts, self._reference)
        except ValueError as error:
            log.warning("a replica's counts are left out", replica=part.replica, why=str(error))
            return None
