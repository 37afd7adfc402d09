"""The grounds: rows that two versions can be compared on, and who has learnt from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory
from faultline.detector.evaluation import NotEvaluated, StandIn
from faultline.readings import format_timestamp
from services.trainer.champion import Contender
from services.trainer.dataset import Dataset

Masks = Sequence[NDArray[np.bool_]]

_NEWEST = "the newest stored"
_BOTH = "which both have learnt"
_NEITHER = "which neither has learnt"


@dataclass(frozen=True, eq=False)
class Ground:
    """Rows to compare on.

    Attributes
    ----------
    rows
        Without those in dispute.
    judged_by_alarms
        Whose alarms may be held against the champion's: the candidate's, or of what stands in for
        it; None when the candidate has learnt from the rows and the champion has not.
    what
        Which rows they are.
    whose
        Who has learnt from them.
    """

    rows: Sequence[MachineHistory]
    judged_by_alarms: Detector | None
    what: str
    whose: str

    @property
    def count(self) -> int:
        """Rows of all machines."""
        return sum(len(history.values) for history in self.rows)

    @property
    def times(self) -> str:
        """From when to when they are; there is at least one."""
        own = [history.timestamps_ms for history in self.rows if len(history.values)]
        first, last = min(int(one[0]) for one in own), max(int(one[-1]) for one in own)
        return f"{format_timestamp(first)} to {format_timestamp(last)}"

    def told(self, version: str) -> str:
        """In a sentence, what was compared on what."""
        return (
            f"compared with version {version} on {self.what} {self.count:,} undisputed rows, "
            f"{self.whose} ({self.times})"
        )


def grounds(
    candidate: Detector,
    stand_in: StandIn | NotEvaluated,
    champion: Contender,
    dataset: Dataset,
    recent: Sequence[MachineHistory],
    *,
    doubts: Masks,
    recent_doubts: Masks,
) -> Iterator[Ground]:
    """What two versions can be compared on, the best first.

    1. The last fifth of every history, which a stand-in for the candidate has not learnt, or those
       of the newest stored rows that neither has learnt from, whichever are more; then the other.
    2. Those of the newest stored rows that the champion has learnt from.
    3. All rows of the dataset.

    Parameters
    ----------
    recent
        The newest stored rows of the machine type.
    doubts, recent_doubts
        Which rows of the dataset, and of those, are in dispute.
    """
    known = _known(candidate, champion, dataset, recent, recent_doubts)
    held_out = [
        *_held_out(candidate, stand_in, champion, doubts),
        _fresh(candidate, champion, dataset, recent, recent_doubts),
    ]
    yield from sorted(held_out, key=lambda ground: -ground.count)
    yield known
    rows, learnt = _alike(dataset.histories, champion, doubts)
    yield Ground(
        rows,
        candidate if learnt else None,
        "all of the",
        _BOTH
        if learnt
        else f"which version {champion.model.version} has not learnt: by injected faults only",
    )


def _held_out(
    candidate: Detector, stand_in: StandIn | NotEvaluated, champion: Contender, doubts: Masks
) -> Iterator[Ground]:
    """The last fifth; where the champion has learnt from most of it, what it has learnt there."""
    if isinstance(stand_in, NotEvaluated):
        return
    ends = [
        mask[len(mask) - len(history.values) :]
        for history, mask in zip(stand_in.held_out, doubts, strict=True)
    ]
    rows, learnt = _alike(stand_in.held_out, champion, ends)
    yield Ground(
        rows,
        candidate if learnt else stand_in.detector,
        "the most recent",
        _BOTH if learnt else _NEITHER,
    )


def _fresh(
    candidate: Detector,
    champion: Contender,
    dataset: Dataset,
    recent: Sequence[MachineHistory],
    doubts: Masks,
) -> Ground:
    """Of the newest rows those that neither has learnt from."""
    masks = [
        ~champion.learnt(history.timestamps_ms) & ~_learnt(dataset, history) & ~doubt
        for history, doubt in zip(recent, doubts, strict=True)
    ]
    return Ground(_those(recent, masks), candidate, _NEWEST, _NEITHER)


def _known(
    candidate: Detector,
    champion: Contender,
    dataset: Dataset,
    recent: Sequence[MachineHistory],
    doubts: Masks,
) -> Ground:
    """Of the newest rows those that the champion has learnt from, whoever else has."""
    version = champion.model.version
    masks = [
        champion.learnt(history.timestamps_ms) & ~doubt
        for history, doubt in zip(recent, doubts, strict=True)
    ]
    rows = sum(int(mask.sum()) for mask in masks)
    of_both = sum(
        int((mask & _learnt(dataset, history)).sum())
        for history, mask in zip(recent, masks, strict=True)
    )
    favours = (
        f"which version {version} has learnt and this one has not, but for {of_both:,}: that "
        f"favours version {version}"
    )
    return Ground(_those(recent, masks), candidate, _NEWEST, _BOTH if of_both == rows else favours)


def _learnt(dataset: Dataset, history: MachineHistory) -> NDArray[np.bool_]:
    """Which rows of a machine the dataset has, shape (n,)."""
    own = next(
        (one.timestamps_ms for one in dataset.histories if one.machine_id == history.machine_id),
        np.empty(0, dtype=np.int64),
    )
    return np.isin(history.timestamps_ms, own)


def _alike(
    histories: Sequence[MachineHistory], champion: Contender, doubts: Masks
) -> tuple[list[MachineHistory], bool]:
    """Of the rows that the champion has learnt from and the others, those that are more.

    Without those that are in dispute.
    """
    learnt = [champion.learnt(history.timestamps_ms) for history in histories]
    seen = sum(int(mask.sum()) for mask in learnt)
    of_learnt = 2 * seen > sum(len(mask) for mask in learnt)
    masks = [
        (mask if of_learnt else ~mask) & ~doubt for mask, doubt in zip(learnt, doubts, strict=True)
    ]
    return _those(histories, masks), of_learnt


def _those(histories: Sequence[MachineHistory], masks: Masks) -> list[MachineHistory]:
    return [
        MachineHistory(history.machine_id, history.timestamps_ms[mask], history.values[mask])
        for history, mask in zip(histories, masks, strict=True)
    ]
