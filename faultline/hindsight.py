"""Looks back at one verdict: gives it again with the version that gave it.

What a version has followed of a machine (drift, a lasting state) grew from all readings that it
judged in a row, so the replay begins with the first of them, and before it with the rows that
filled the window. They are read a page at a time, twice: back to where the replay begins, then on
from there; however long that is, there is a page in memory. It knows ports, not what is behind
them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from faultline.errors import InvalidBundle, NotFound
from faultline.judge import EVERYTHING, KEPT_ROWS, Model
from faultline.past import Block, Past, Seen, blocks, trace, unseen
from faultline.ports.stores import FleetStore, StoredVerdict
from faultline.readings import format_timestamp
from faultline.recompute import Recomputation, Recomputed
from faultline.verdicts import Status, Verdict

LoadModel = Callable[[str, str], Model]
"""A registered version by name and number; raises `NotFound`, `InvalidBundle`, `Unavailable`."""

_LOST = (
    "a predictor that lost its snapshots begins anew, and a challenger brings a lasting new state "
    "along from the shadow: when either happened is not stored"
)


@dataclass(frozen=True)
class Hindsight:
    """A stored verdict beside the same given again.

    Attributes
    ----------
    anew
        Explained in full; None where it cannot be given again.
    equal
        Status and cluster are the same, and the score to 1e-9.
    relative_difference
        Of the two scores; None unless there are two.
    replayed_from_ms
        Time of the first reading that was judged again; None when there was none.
    replayed
        How many were.
    of_version
        How many of them since the version last began; the others filled the window before.
    caveats
        What may keep the two apart, in sentences.
    """

    stored: StoredVerdict
    anew: Verdict | None
    equal: bool
    relative_difference: float | None
    replayed_from_ms: int | None
    replayed: int
    of_version: int
    caveats: tuple[str, ...]


def look_back(
    store: FleetStore,
    load: LoadModel,
    machine_id: str,
    timestamp_ms: int,
    seen: Seen = unseen,
) -> Hindsight:
    """Give a past verdict again.

    Parameters
    ----------
    seen
        Called with every page: a long history takes its time.

    Raises
    ------
    NotFound
        When there is no verdict at that time, or its version is no longer registered.
    InvalidBundle
        When the version's files were altered.
    Unavailable
        While the database or the registry is down.
    """
    stored = _verdict(store, machine_id, timestamp_ms)
    model = _model(load, stored)
    past = trace(store, stored, KEPT_ROWS if model is None else _rows_to_fill(model), seen)
    models = {} if model is None else {(model.name, model.version): model}
    caveats = past.caveats()
    unknown: set[tuple[str, str]] = set()
    for key in past.versions_before:
        if key in models:
            continue
        try:
            models[key] = load(*key)
        except (NotFound, InvalidBundle) as error:
            unknown.add(key)
            # Its rows fill the window all the same; only how many it kept is not known.
            caveats.append(f"a version before cannot be had: {error}")
    replay = _Replay(store, past, models, unknown, seen)
    last = replay.judge()
    caveats += replay.found.caveats()
    if not last.equal and last.anew is not None and model is not None:
        # The predictor fills a window that is too short for a version from the stored readings.
        other = replay.judge(filled_for=model)
        if other.equal:
            last = other
            caveats.append("it comes out equal when the window is filled from stored readings")
    if last.anew is None:
        caveats.append(_why_not(last))
    elif not last.equal:
        caveats.append(_LOST)
    return Hindsight(
        stored=stored,
        anew=last.anew,
        equal=last.equal,
        relative_difference=last.relative_difference,
        replayed_from_ms=replay.found.first_ms,
        replayed=replay.found.readings,
        of_version=past.of_version,
        caveats=tuple(caveats),
    )


def _verdict(store: FleetStore, machine_id: str, timestamp_ms: int) -> StoredVerdict:
    found = store.verdicts(machine_id, timestamp_ms, timestamp_ms + 1, limit=1)
    if found:
        return found[0]
    at = format_timestamp(timestamp_ms)
    store.machine(machine_id)
    nearest = store.verdicts(machine_id, end_ms=timestamp_ms, limit=1)
    hint = (
        f"; the last before is at {format_timestamp(nearest[0].verdict.timestamp_ms)}"
        if nearest
        else ""
    )
    if len(store.readings(machine_id, timestamp_ms, timestamp_ms + 1).timestamps_ms):
        raise NotFound(f"the reading of {machine_id} at {at} has no verdict yet{hint}")
    raise NotFound(f"{machine_id} has no reading at {at}{hint}")


def _model(load: LoadModel, stored: StoredVerdict) -> Model | None:
    if stored.model_name is None or stored.model_version is None:
        return None
    return load(stored.model_name, stored.model_version)


def _rows_to_fill(model: Model) -> int:
    return max(KEPT_ROWS, model.detector.window_rows, model.detector.rows_needed)


@dataclass
class _Found:
    """What a replay met with, counted."""

    first_ms: int | None = None
    readings: int = 0
    verdicts: int = 0
    lost: int = 0
    unjudged: int = 0
    late: int = 0

    def add(self, block: Block) -> None:
        there = block.rows.timestamps_ms
        judged = np.array([one.verdict.timestamp_ms for one in block.verdicts], dtype=np.int64)
        if self.first_ms is None and len(there):
            self.first_ms = int(there[0])
        self.readings += len(there)
        self.verdicts += len(judged)
        self.lost += len(np.setdiff1d(judged, there, assume_unique=True))
        self.unjudged += len(np.setdiff1d(there, judged, assume_unique=True))
        self.late += sum(one.verdict.status is Status.LATE for one in block.verdicts)

    def caveats(self) -> list[str]:
        caveats = []
        if self.lost:
            caveats.append(f"{self.lost} of the readings that were judged are no longer stored")
        if self.unjudged:
            caveats.append(f"{self.unjudged} stored readings have no verdict and are left out")
        if self.late:
            caveats.append(
                f"{self.late} readings came late and are left out; many in a row let a window "
                "begin anew, and when is not stored"
            )
        return caveats


@dataclass
class _Replay:
    """Gives the verdicts of a past again.

    Attributes
    ----------
    unknown
        Versions before that cannot be had: their rows only fill the window.
    found
        What the last replay met with.
    """

    store: FleetStore
    past: Past
    models: Mapping[tuple[str, str], Model]
    unknown: Collection[tuple[str, str]]
    seen: Seen
    found: _Found = field(default_factory=_Found)

    def judge(self, filled_for: Model | None = None) -> Recomputed:
        """Give the last verdict again, and all that it stands on.

        Parameters
        ----------
        filled_for
            The window before is filled for this version from the stored readings; None: as the
            versions of that time left it.
        """
        past, self.found = self.past, _Found()
        recomputation = Recomputation(self.models)
        asked_ms = past.stored.verdict.timestamp_ms
        for block in blocks(self.store, past.stored.machine_id, past.first_ms, asked_ms + 1):
            self.found.add(block)
            before, own = self._parted(block.verdicts)
            if filled_for is not None:
                recomputation.fill(block.rows, before, filled_for)
            else:
                _exhaust(recomputation.judge(block.rows, before))
            is_last = bool(own) and own[-1].verdict.timestamp_ms == asked_ms
            _exhaust(recomputation.judge(block.rows, own[:-1] if is_last else own))
            self.seen(self.found.verdicts, past.before + past.of_version)
            if is_last:
                (last,) = recomputation.judge(block.rows, own[-1:], EVERYTHING)
                return last
        raise NotFound("the verdict was removed from the store while it was looked at")

    def _parted(
        self, verdicts: Sequence[StoredVerdict]
    ) -> tuple[list[StoredVerdict], list[StoredVerdict]]:
        """Those before the version began, and its own."""
        before = [one for one in verdicts if one.verdict.timestamp_ms < self.past.begun_ms]
        own = list(verdicts[len(before) :])
        return [self._without_unknown(one) for one in before], own

    def _without_unknown(self, one: StoredVerdict) -> StoredVerdict:
        if (one.model_name, one.model_version) not in self.unknown:
            return one
        return StoredVerdict(one.machine_id, one.machine_type, None, None, one.verdict)


def _exhaust(given: Iterator[Recomputed]) -> None:
    deque(given, maxlen=0)


def _why_not(last: Recomputed) -> str:
    if last.stored.verdict.status is Status.LATE:
        return "it was called late: that depends on the order of arrival, which is not stored"
    return "its reading is no longer stored"
