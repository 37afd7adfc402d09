"""Looks back at one verdict: gives it again with the version that gave it.

What a version has followed of a machine (drift, a lasting state) grew from all readings that it
judged in a row, so the replay begins with the first of them, and before it with the rows that
filled the window. It knows ports, not what is behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from faultline.errors import InvalidBundle, NotFound
from faultline.judge import EVERYTHING, KEPT_ROWS, Model
from faultline.ports.stores import FleetStore, MachineRows, StoredVerdict
from faultline.readings import format_timestamp
from faultline.recompute import Recomputation, Recomputed
from faultline.verdicts import Status, Verdict

LoadModel = Callable[[str, str], Model]
"""A registered version by name and number; raises `NotFound`, `InvalidBundle`, `Unavailable`."""

_PAGE = 5_000
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


def look_back(store: FleetStore, load: LoadModel, machine_id: str, timestamp_ms: int) -> Hindsight:
    """Give a past verdict again.

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
    past = _Past(store, stored, KEPT_ROWS if model is None else _rows_to_fill(model))
    models = {} if model is None else {(model.name, model.version): model}
    caveats = past.caveats()
    before: list[StoredVerdict] = []
    unknown: set[tuple[str, str]] = set()
    for one in past.before:
        key = (one.model_name or "", one.model_version or "")
        if one.model_version is not None and key not in models and key not in unknown:
            try:
                models[key] = load(*key)
            except (NotFound, InvalidBundle) as error:
                unknown.add(key)
                # Its rows fill the window all the same; only how many it kept is not known.
                caveats.append(f"a version before cannot be had: {error}")
        before.append(_without_version(one) if key in unknown else one)
    start_ms = (before or past.stretch)[0].verdict.timestamp_ms
    rows = store.readings(machine_id, start_ms, timestamp_ms + 1)
    caveats += _missing(rows, [*before, *past.stretch])
    recomputation = Recomputation(rows, models)
    last = _last(recomputation, [*before, *past.stretch])
    if not last.equal and last.anew is not None and model is not None:
        # The predictor fills a window that is too short for a version from the stored readings.
        filled = Recomputation(rows, models)
        filled.fill(before, model)
        other = _last(filled, past.stretch)
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
        replayed_from_ms=int(rows.timestamps_ms[0]) if len(rows.timestamps_ms) else None,
        replayed=len(rows.timestamps_ms),
        of_version=len(past.stretch),
        caveats=tuple(caveats),
    )


def _last(recomputation: Recomputation, verdicts: Sequence[StoredVerdict]) -> Recomputed:
    for _ in recomputation.judge(verdicts[:-1]):
        pass
    (last,) = recomputation.judge(verdicts[-1:], EVERYTHING)
    return last


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


class _Past:
    """The verdicts that one stands on.

    Attributes
    ----------
    stretch
        Those since the version last began, the verdict itself last.
    before
        Those before the stretch whose readings filled the window.
    """

    def __init__(self, store: FleetStore, stored: StoredVerdict, rows_to_fill: int) -> None:
        newest_first: list[StoredVerdict] = []
        end_ms = stored.verdict.timestamp_ms + 1
        begin: int | None = None
        while True:
            page = store.verdicts(stored.machine_id, end_ms=end_ms, limit=_PAGE)
            if begin is None:
                begin = next(
                    (
                        position
                        for position, one in enumerate(page, len(newest_first))
                        if _is_of_another(one, stored)
                    ),
                    None,
                )
            newest_first += page
            filled = begin is not None and len(newest_first) >= begin + rows_to_fill
            if filled or len(page) < _PAGE:
                break
            end_ms = page[-1].verdict.timestamp_ms
        of_version = len(newest_first) if begin is None else begin
        # A version begins with its own first verdict: rows without a model only fill the window.
        while of_version > 1 and newest_first[of_version - 1].model_version is None:
            of_version -= 1
        self.stretch = newest_first[:of_version][::-1]
        self.before = newest_first[of_version : of_version + rows_to_fill][::-1]
        self._first_seen_ms = store.machine(stored.machine_id).first_seen_ms

    def caveats(self) -> list[str]:
        """What is known to be missing."""
        begun_ms = self.stretch[0].verdict.timestamp_ms
        if self.before or begun_ms <= self._first_seen_ms:
            return []
        return [
            f"the verdicts before {format_timestamp(begun_ms)} are no longer stored, while the "
            f"machine is known since {format_timestamp(self._first_seen_ms)}: what the version "
            "had followed until then is lost"
        ]


def _is_of_another(one: StoredVerdict, stored: StoredVerdict) -> bool:
    """Whether another version gave it: it followed anew. Rows without a model change nothing."""
    return one.model_version is not None and (one.model_name, one.model_version) != (
        stored.model_name,
        stored.model_version,
    )


def _without_version(stored: StoredVerdict) -> StoredVerdict:
    return StoredVerdict(stored.machine_id, stored.machine_type, None, None, stored.verdict)


def _missing(rows: MachineRows, verdicts: list[StoredVerdict]) -> list[str]:
    there = set(rows.timestamps_ms.tolist())
    judged = {stored.verdict.timestamp_ms for stored in verdicts}
    caveats = []
    if lost := len(judged - there):
        caveats.append(f"{lost} of the readings that were judged are no longer stored")
    if unjudged := len(there - judged):
        caveats.append(f"{unjudged} stored readings have no verdict and are left out")
    if late := sum(stored.verdict.status is Status.LATE for stored in verdicts):
        caveats.append(
            f"{late} readings came late and are left out; many in a row let a window begin anew, "
            "and when is not stored"
        )
    return caveats


def _why_not(last: Recomputed) -> str:
    if last.stored.verdict.status is Status.LATE:
        return "it was called late: that depends on the order of arrival, which is not stored"
    return "its reading is no longer stored"
