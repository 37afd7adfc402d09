"""Says which sensors made a score, and in one plain sentence. NumPy only.

It knows what a detector holds, and nothing of how rows are scored or fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faultline.detector.covariance import Metric
from faultline.detector.distance import has_missing
from faultline.detector.scores import Contribution

ORDINARY_DEVIATIONS = 3.0
"""Nearly all ordinary values lie within so many standard deviations of what is expected."""

_NAMED_SHARE = 0.1
_MOST_NAMED = 3


class _Part(Protocol):
    @property
    def sensor(self) -> str: ...
    @property
    def share(self) -> float: ...
    @property
    def observed(self) -> float: ...
    @property
    def expected_low(self) -> float: ...
    @property
    def expected_high(self) -> float: ...
    @property
    def direction(self) -> str: ...


def contributions(
    sensors: Sequence[str],
    *,
    metric: Metric,
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    means: NDArray[np.float64],
    references: NDArray[np.float64],
    widened: NDArray[np.float64] | None,
    known: NDArray[np.bool_],
    boundary: float,
    limit: int | None,
) -> list[tuple[Contribution, ...]]:
    """Take the deviations of rows apart by sensor.

    Parameters
    ----------
    sensors
        Names of the columns.
    metric
        Of the distance that was scored by.
    centre, scale
        Shape (d,), in the sensors' own units.
    means, references
        Shape (m, d): the rows, NaN where missing, and the places they deviate from, in scales.
    widened
        Shape (m, d): by what each deviation was divided because part of its window is missing;
        None for 1 everywhere.
    known
        Shape (m,): False where a row is unlike every cluster. A sensor that is then out of its own
        range is expected within that, as what the others tell of it is told by sensors that are
        off, too.
    boundary
        The distance that scores 1.0. Nothing beyond it is called expected.
    limit
        So many sensors of each row; None for all. Shares are of the whole either way.

    Returns
    -------
    list
        Per row, the largest share first. On a row without any deviation all shares are equal.
    """
    m, d = means.shape
    deviation = means - references
    if widened is not None:
        deviation /= widened
    missing = np.isnan(means) if has_missing(deviation) else None
    squares, unexplained, tolerance = metric.parts(deviation)
    reach = min(ORDINARY_DEVIATIONS, boundary)
    if np.count_nonzero(known) < m:
        is_out = ~known[:, np.newaxis] & (np.abs(deviation) > reach * metric.spread)
        unexplained = np.where(is_out, deviation, unexplained)
        tolerance = np.where(is_out, metric.spread, tolerance)
    unlikely, margin = unexplained, reach * tolerance
    if widened is not None:
        unlikely, margin = unexplained * widened, margin * widened
    margin = margin * scale
    count = None if missing is None else d - missing.sum(axis=1)
    table = np.empty((6, m, d))
    shares, observed, expected, low, high, is_above = table
    _share(squares, count, out=shares)
    np.multiply(scale, means, out=observed)
    observed += centre
    np.multiply(scale, means - unlikely, out=expected)
    expected += centre
    np.subtract(expected, margin, out=low)
    np.add(expected, margin, out=high)
    np.greater(unexplained, 0.0, out=is_above)
    # Absent sensors come last, and are then left out.
    ranks = -shares if missing is None else np.where(missing, 1.0, -shares)
    columns = ranks.argsort(axis=1, kind="stable")[:, :limit]
    cells = columns + np.arange(0, m * d, d)[:, np.newaxis]
    return [
        tuple(
            Contribution(
                sensors[column], share, seen, middle, least, most, "high" if above else "low"
            )
            for column, share, seen, middle, least, most, above in zip(*row[:-1], strict=True)
        )[: row[-1]]
        for row in zip(
            columns.tolist(),
            *table.reshape(6, -1).take(cells, axis=1).tolist(),
            [d] * m if count is None else count.tolist(),
            strict=True,
        )
    ]


def _share(
    squares: NDArray[np.float64], count: NDArray[np.int64] | None, *, out: NDArray[np.float64]
) -> None:
    """Write into `out` the shares of each row's parts (m, d), of which `count` (m,) are present.

    None for all of them.
    """
    total = np.add.reduce(squares, axis=1, keepdims=True)
    is_moved = total > 0
    np.divide(squares, total, out=out, where=is_moved)
    if np.count_nonzero(is_moved) == len(total):
        return
    for row in np.flatnonzero(~is_moved).tolist():
        out[row] = 1.0 / (squares.shape[1] if count is None else count[row])


def by_sensor(parts: Sequence[Contribution]) -> tuple[Contribution, ...]:
    """Join the parts that bear the name of one sensor, as the stretches of a shape do.

    Parameters
    ----------
    parts
        The largest share first.

    Returns
    -------
    tuple
        One per sensor with the sum of its shares, the largest first; for the rest it is its part
        with the largest share.
    """
    largest: dict[str, Contribution] = {}
    shares: dict[str, float] = {}
    for part in parts:
        largest.setdefault(part.sensor, part)
        shares[part.sensor] = shares.get(part.sensor, 0.0) + part.share
    joined = (part._replace(share=shares[name]) for name, part in largest.items())
    return tuple(sorted(joined, key=lambda part: -part.share))


def sentence(machine_id: str, parts: Sequence[_Part]) -> str:
    """Say in one plain sentence which sensors made a score.

    Parameters
    ----------
    machine_id
        The machine's name.
    parts
        Contributions, the largest first.

    Examples
    --------
    >>> sentence("pump-07", [
    ...     Contribution("efficiency", 0.62, 55.6, 59.15, 59.0, 59.3, "low"),
    ...     Contribution("flow_1", 0.31, 6.2, 6.6, 6.5, 6.7, "low"),
    ...     Contribution("heat", 0.07, 40.0, 41.0, 39.0, 43.0, "low")])
    'pump-07: efficiency 55.6, expected 59 to 59.3 (62 % of the deviation); flow_1 low (31 %)'
    """
    if not parts:
        return f"{machine_id}: no sensor deviates"
    first, *others = parts
    named = [part for part in others[: _MOST_NAMED - 1] if part.share >= _NAMED_SHARE]
    observed, low, high = _apart(first.observed, first.expected_low, first.expected_high)
    said = (
        f"{machine_id}: {first.sensor} {observed}, expected {low} to {high} "
        f"({100 * first.share:.0f} % of the deviation)"
    )
    return "; ".join(
        [said, *(f"{part.sensor} {part.direction} ({100 * part.share:.0f} %)" for part in named)]
    )


def _apart(*values: float) -> list[str]:
    """Write numbers with as few digits as tell those apart that differ, but at least three."""
    texts: list[str] = []
    for digits in range(3, 16):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts
