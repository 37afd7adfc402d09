"""Calibrates the boundary on contiguous held-out blocks, never on rows that were learnt from.

It knows distances and blocks of time; it must not know labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student_t

from faultline.detector.history import UnfitHistory
from faultline.detector.holdout import LEAST_BLOCKS
from faultline.detector.scale import MAD_TO_STD
from faultline.detector.training import WindowTable

_PREDICTION_LEVEL = 0.975

LEAST_MARGIN = 0.1
"""And at least this part above the blocks' median quantile: five blocks that happen to agree don't
prove that the next one will."""

_POWER = 2 / 3
"""The two-thirds power of a distance is nearly normal, as its square is nearly a chi-square times a
constant, whose cube root is."""

_PER_BAD_BLOCK = 5
"""One block in so many may be bad, and says nothing of the tail."""

_EXCEEDING = 10
"""A quantile that fewer windows exceed says more of those windows than of the tail."""

LEAST_BOUNDARY = 1e-3
"""In scales. Held-out rows that repeat to the last digit would put the boundary at nothing."""

LEAST_UNKNOWN_SCORE = 2.0
"""No row is called unlike every cluster below this score."""


@dataclass(frozen=True)
class HeldOutBlock:
    """A stretch of one machine's history, scored by what was learnt from the other blocks.

    Attributes
    ----------
    machine_id
        Whose history.
    start_ms, end_ms
        Time of its first and last scored window.
    windows
        How many windows it has.
    high_score
        Its high quantile (1 - the false-alarm rate) over the boundary. A block far above 1 is
        unlike the rest of the history, as a warm-up is.
    alarm_rate
        The part of its windows above the boundary.
    """

    machine_id: str
    start_ms: int
    end_ms: int
    windows: int
    high_score: float
    alarm_rate: float


@dataclass(frozen=True, eq=False)
class Calibration:
    """A boundary and what it was found from.

    Attributes
    ----------
    boundary
        The distance that scores 1.0.
    unknown_score
        Above this score a row is unlike every cluster.
    alarm_rate
        The part of all held-out windows above the boundary.
    blocks
        All held-out blocks, machine after machine.
    scores
        Shape (n,), one per window of the table: its held-out score; NaN for a window that reaches
        over the edge of two blocks and so was never held out as a whole.
    """

    boundary: float
    unknown_score: float
    alarm_rate: float
    blocks: tuple[HeldOutBlock, ...]
    scores: NDArray[np.float64]


def combine(blocks: Sequence[NDArray[np.float64]], false_alarm_rate: float) -> float:
    """Find the distance that the next block's windows exceed at a given rate.

    The geometric mean of two estimates, neither of which a bad block can move far: one from the
    blocks' own high quantiles, which supposes no form but rests on a few windows of each; one from
    all their windows, which supposes a form. They err differently, and together less (Bates and
    Granger, 1969, "The combination of forecasts", Oper. Res. Q. 20).

    Parameters
    ----------
    blocks
        The held-out distances of each block; at least two blocks.
    false_alarm_rate
        Above 0, below 0.5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> blocks = [np.sqrt(rng.chisquare(8, size=80)) for _ in range(4)]
    >>> round(combine(blocks, 0.002), 1), round(combine([*blocks, 30 + blocks[0]], 0.002), 1)
    (5.0, 5.4)
    """
    n = len(blocks)
    # The upper end of a 95 % prediction interval for one more observation.
    width = float(student_t.ppf(_PREDICTION_LEVEL, n - 1)) * math.sqrt(1 + 1 / n)
    by_quantiles = _beyond_quantiles(blocks, false_alarm_rate, width)
    return math.sqrt(by_quantiles * _beyond_normal(blocks, false_alarm_rate, width))


def _beyond_quantiles(
    blocks: Sequence[NDArray[np.float64]], false_alarm_rate: float, width: float
) -> float:
    """Median of the blocks' high quantiles, plus what the next block's may differ by.

    Hahn, 1970, "Additional factors for calculating prediction intervals for samples from a normal
    distribution", JASA 65, with 1.4826 times the median absolute deviation as standard deviation;
    at least `LEAST_MARGIN`. The largest would let one warm-up blind the detector; the median alone
    would let every second ordinary block alarm.
    """
    high = np.array([np.quantile(block, 1 - false_alarm_rate) for block in blocks])
    middle, deviation = _robust(high)
    return middle + max(width * deviation, LEAST_MARGIN * middle)


def _beyond_normal(
    blocks: Sequence[NDArray[np.float64]], false_alarm_rate: float, width: float
) -> float:
    """Mean of the next block, as far out as it may be, and above it the quantile within a block.

    On distances made nearly normal: Wilson and Hilferty, 1931, "The distribution of chi-square",
    PNAS 17; that a squared distance is a chi-square times a constant: Box, 1954, "Some theorems on
    quadratic forms", Ann. Math. Stat. 25. A tail heavier than the normal one raises the quantile as
    much as it is heavier.
    """
    normal = [np.power(block, _POWER) for block in blocks]
    means = np.array([block.mean() for block in normal])
    within = math.sqrt(float(np.median([block.var() for block in normal])))
    middle, deviation = _robust(means)
    kept = np.argsort(np.abs(means - middle), kind="stable")[
        : len(blocks) - len(blocks) // _PER_BAD_BLOCK
    ]
    centred = np.concatenate([normal[index] - means[index] for index in kept])
    quantile = float(norm.isf(false_alarm_rate)) * _tail(centred, within, false_alarm_rate)
    return float((middle + width * deviation + quantile * within) ** (1 / _POWER))


def _tail(centred: NDArray[np.float64], deviation: float, false_alarm_rate: float) -> float:
    """How many times as far out as a normal one the tail is, at least 1."""
    rate = max(false_alarm_rate, _EXCEEDING / len(centred))
    if rate >= 0.25 or deviation == 0.0:
        return 1.0
    seen = float(np.quantile(centred, 1 - rate)) / deviation
    return max(1.0, seen / float(norm.isf(rate)))


def _robust(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median and robust standard deviation."""
    middle = float(np.median(values))
    return middle, MAD_TO_STD * float(np.median(np.abs(values - middle)))


def groups_of(
    distance: NDArray[np.float64], machine: NDArray[np.int64], block: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Held-out windows by machine and stretch: the indices of each."""
    scored = np.isfinite(distance)
    groups = [
        np.flatnonzero(scored & (machine == index) & (block == number))
        for index in range(int(machine.max()) + 1)
        for number in range(int(block.max()) + 1)
    ]
    return [group for group in groups if group.size]


def calibrate(
    table: WindowTable,
    machine_ids: Sequence[str],
    distance: NDArray[np.float64],
    block: NDArray[np.int64],
    false_alarm_rate: float,
) -> Calibration:
    """Find the boundary from held-out distances.

    Parameters
    ----------
    table
        All windows.
    machine_ids
        Names of the machines that the table counts.
    distance
        Shape (n,): see `distances`.
    block
        Shape (n,): the stretch that a window ends in.
    false_alarm_rate
        The part of a block's windows that may lie above its high quantile.

    Raises
    ------
    UnfitHistory
        When fewer than two stretches could be held out.
    """
    scored = np.isfinite(distance)
    groups = groups_of(distance, table.machine, block)
    if len(groups) < LEAST_BLOCKS:
        raise UnfitHistory(
            f"only {len(groups)} stretch of the history could be held out, because gaps or missing "
            "values leave too few whole windows; send more history"
        )
    high = np.array([np.quantile(distance[group], 1 - false_alarm_rate) for group in groups])
    boundary = max(combine([distance[group] for group in groups], false_alarm_rate), LEAST_BOUNDARY)
    scores = distance / boundary
    ordinary = [group for group, quantile in zip(groups, high, strict=True) if quantile <= boundary]
    farthest = max((float(scores[group].max()) for group in ordinary), default=0.0)
    return Calibration(
        boundary=float(boundary),
        unknown_score=max(LEAST_UNKNOWN_SCORE, farthest),
        alarm_rate=float((scores[scored] > 1).mean()),
        blocks=tuple(
            HeldOutBlock(
                machine_id=machine_ids[int(table.machine[group[0]])],
                start_ms=int(table.timestamps_ms[group[0]]),
                end_ms=int(table.timestamps_ms[group[-1]]),
                windows=len(group),
                high_score=float(quantile / boundary),
                alarm_rate=float((scores[group] > 1).mean()),
            )
            for group, quantile in zip(groups, high, strict=True)
        ),
        scores=scores,
    )
