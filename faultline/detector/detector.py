"""The detector: turns a machine's rows into scores and says which sensors made them.

NumPy only, because a predictor has no scikit-learn. It must not know how it was fitted, what an
alarm is, or where rows come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.detector import parts
from faultline.detector.distance import nearest_cluster
from faultline.detector.parts import Parameter
from faultline.detector.scores import Contribution, RowState, Scores, SensorHealth
from faultline.detector.smoothing import scaled, widening, window_means
from faultline.detector.window import Window, rows_since_gap

__all__ = ["Contribution", "Detector", "RowState", "Scores", "SensorHealth", "Window"]

KEPT_ROWS = 120
"""A window keeps at least so many rows, so that a reloaded model whose window is longer than its
predecessor's goes on without warming up again."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted detector for one machine type.

    Attributes
    ----------
    sensors
        The columns it uses, in the order of every array.
    window_rows
        How many rows are averaged before they are judged.
    max_gap_ms
        A longer silence starts the window anew.
    centre, scale
        Shape (d,): median and robust standard deviation of the window means in training, in the
        sensors' own units.
    spread
        Shape (d,): standard deviation of single rows, in the sensors' own units.
    clusters
        Shape (k, d): cluster centres, in scales from the centre.
    boundary
        The distance that scores 1.0.
    unknown_score
        Above this score a row is unlike every cluster.

    Raises
    ------
    ValueError
        When the parts do not fit together or hold values that cannot be.

    Examples
    --------
    >>> detector = Detector(
    ...     sensors=("flow", "heat"), window_rows=2, max_gap_ms=5_000,
    ...     centre=np.array([10.0, 50.0]), scale=np.array([1.0, 2.0]),
    ...     spread=np.array([1.0, 2.0]), clusters=np.zeros((1, 2)), boundary=5.0,
    ...     unknown_score=2.0)
    >>> rows = np.array([[10.0, 50.0], [10.0, 50.0], [16.0, 66.0]])
    >>> scores, window = detector.score(
    ...     Window.empty(detector.sensors), np.array([0, 1000, 2000]), rows)
    >>> scores.score
    array([nan,  0.,  1.])
    >>> for part in detector.explain(scores, 2):
    ...     print(part.sensor, round(part.share, 2), part.observed, part.expected, part.direction)
    heat 0.64 58.0 50.0 high
    flow 0.36 13.0 10.0 high
    """

    sensors: tuple[str, ...]
    window_rows: int
    max_gap_ms: int
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    spread: NDArray[np.float64]
    clusters: NDArray[np.float64]
    boundary: float
    unknown_score: float

    def __post_init__(self) -> None:
        d = len(self.sensors)
        if d == 0 or len(set(self.sensors)) != d:
            raise ValueError(f"a detector needs distinct sensors; got {list(self.sensors)}")
        if self.window_rows < 1 or self.max_gap_ms < 1:
            raise ValueError(
                f"window_rows and max_gap_ms must be at least 1; got {self.window_rows} and "
                f"{self.max_gap_ms}"
            )
        for name in ("centre", "scale", "spread", "clusters"):
            array: NDArray[np.float64] = getattr(self, name)
            shape = (d,) if name != "clusters" else (max(1, len(array)), d)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} must be finite with the shape {shape}; got the shape {array.shape}"
                )
        if not ((self.scale > 0).all() and (self.spread >= 0).all()):
            raise ValueError("every scale must be positive and no spread negative")
        for name in ("boundary", "unknown_score"):
            number: float = getattr(self, name)
            if not (math.isfinite(number) and number > 0):
                raise ValueError(f"{name} must be a positive number; got {number!r}")

    def score(
        self, window: Window, timestamps_ms: NDArray[np.int64], values: NDArray[np.float64]
    ) -> tuple[Scores, Window]:
        """Score the next rows of one machine.

        However the rows are cut into calls, the scores are the same.

        Parameters
        ----------
        window
            The machine's window before these rows; `Window.empty` for a new machine.
        timestamps_ms
            Shape (n,), int64: strictly increasing, all later than the window's last.
        values
            Shape (n, d), float64, columns as `sensors`, in the sensors' own units. What is not
            finite counts as missing.

        Returns
        -------
        scores
            For the n rows.
        window
            To give to the next call.

        Raises
        ------
        ValueError
            When the window has other columns, the shapes disagree or a row comes too late.
        """
        self._check(window, timestamps_ms, values)
        n, d = values.shape
        before = self.window_rows - 1
        carried = min(before, len(window))
        rows = np.full((before + n, d), np.nan)
        if carried:
            rows[before - carried : before] = window.values[-carried:]
        rows[before:] = values
        means, counts = window_means(scaled(rows, self.centre, self.scale), self.window_rows)

        missing_means = np.isnan(means)
        present = d - missing_means.sum(axis=1)
        insufficient = 2 * present < d
        warm = self._rows_since_start(window, timestamps_ms, carried) >= self.window_rows
        state = np.where(
            warm,
            np.where(insufficient, np.int8(RowState.INSUFFICIENT), np.int8(RowState.SCORED)),
            np.int8(RowState.WARMING_UP),
        )
        is_scored = state == RowState.SCORED
        score = np.full(n, np.nan)
        cluster = np.full(n, -1, dtype=np.int64)
        if is_scored.any():
            partial = bool((counts[is_scored] < self.window_rows).any())
            distance, nearest = nearest_cluster(
                means[is_scored],
                self._widening(counts[is_scored]) if partial else None,
                self.clusters,
            )
            score[is_scored] = distance / self.boundary
            cluster[is_scored] = nearest
        scores = Scores(
            state=state,
            score=score,
            cluster=cluster,
            known=is_scored & (score <= self.unknown_score),
            health=SensorHealth(missing=~np.isfinite(values)),
            means=means,
            counts=counts,
        )
        return scores, window.followed_by(timestamps_ms, values, max(KEPT_ROWS, self.window_rows))

    def explain(self, scores: Scores, row: int) -> tuple[Contribution, ...]:
        """Say which sensors made a row's score.

        Parameters
        ----------
        scores
            What this detector's `score` returned.
        row
            Its row to explain, which must be SCORED.

        Returns
        -------
        tuple of Contribution
            One per sensor that is present in the window, the largest share first. On a row that
            lies exactly on a cluster all shares are equal.

        Raises
        ------
        ValueError
            When the row has no score.
        """
        return self.explain_rows(scores, np.array([row]))[0]

    def explain_rows(
        self, scores: Scores, rows: NDArray[np.int64], limit: int | None = None
    ) -> list[tuple[Contribution, ...]]:
        """Explain several rows at once, as `explain` does each; the first `limit` sensors of each.

        Parameters
        ----------
        rows
            Shape (m,): rows of `scores`, all SCORED.
        limit
            None for all; shares are of the whole either way.
        """
        state = scores.state[rows]
        if (state != RowState.SCORED).any():
            at = int((state != RowState.SCORED).argmax())
            raise ValueError(
                f"row {rows[at]} is {RowState(int(state[at])).name}: only a scored row can be "
                "explained"
            )
        means, centres = scores.means[rows], self.clusters[scores.cluster[rows]]
        present = ~np.isnan(means)
        deviation = means - centres
        squares = np.square(deviation / self._widening(scores.counts[rows]))
        squares[~present] = 0.0
        count, total = present.sum(axis=1, keepdims=True), squares.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, squares / np.where(total > 0, total, 1.0), 1.0 / count)
        # Absent sensors come last, and are then left out.
        columns = np.argsort(np.where(present, -shares, 1.0), axis=1, kind="stable")[:, :limit]
        parts_of_row = (
            np.take_along_axis(values, columns, axis=1).tolist()
            for values in (
                shares,
                self.centre + self.scale * means,
                self.centre + self.scale * centres,
                deviation > 0,
            )
        )
        names = self.sensors
        return [
            tuple(
                Contribution(names[column], share, observed, expected, "high" if high else "low")
                for column, share, observed, expected, high in zip(*row[:-1], strict=True)
            )[: row[-1]]
            for row in zip(columns.tolist(), *parts_of_row, count[:, 0].tolist(), strict=True)
        ]

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the detector, for an npz file. Nothing in them is an object."""
        return {
            "centre": self.centre,
            "scale": self.scale,
            "spread": self.spread,
            "clusters": self.clusters,
        }

    def parameters(self) -> dict[str, Parameter]:
        """Return all that is not an array, for a JSON file. Floats survive JSON exactly."""
        return {
            "sensors": list(self.sensors),
            "window_rows": self.window_rows,
            "max_gap_ms": self.max_gap_ms,
            "boundary": self.boundary,
            "unknown_score": self.unknown_score,
        }

    @classmethod
    def from_parts(
        cls, parameters: Mapping[str, Parameter], arrays: Mapping[str, NDArray[np.float64]]
    ) -> Detector:
        """Build the detector that `parameters` and `to_arrays` were taken from.

        Raises
        ------
        ValueError
            When a part is absent, of the wrong kind, or does not fit the others.
        """
        return cls(
            sensors=parts.names(parameters, "sensors"),
            window_rows=parts.whole(parameters, "window_rows"),
            max_gap_ms=parts.whole(parameters, "max_gap_ms"),
            centre=parts.floats(arrays, "centre"),
            scale=parts.floats(arrays, "scale"),
            spread=parts.floats(arrays, "spread"),
            clusters=parts.floats(arrays, "clusters"),
            boundary=parts.number(parameters, "boundary"),
            unknown_score=parts.number(parameters, "unknown_score"),
        )

    def _widening(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return widening(counts, self.window_rows, self.spread / self.scale)

    def _rows_since_start(
        self, window: Window, timestamps_ms: NDArray[np.int64], carried: int
    ) -> NDArray[np.int64]:
        """For each new row, how many rows there were since the start or the last gap, itself too.

        It counts no further back than one window: more makes no difference.
        """
        times = np.concatenate((window.timestamps_ms[len(window) - carried :], timestamps_ms))
        return rows_since_gap(times, self.max_gap_ms)[carried:]

    def _check(
        self, window: Window, timestamps_ms: NDArray[np.int64], values: NDArray[np.float64]
    ) -> None:
        if window.sensors != self.sensors:
            raise ValueError(
                "the window has other columns than the detector; use window.aligned(sensors)"
            )
        expected = (len(timestamps_ms), len(self.sensors))
        if values.shape != expected:
            raise ValueError(
                f"values have the shape {values.shape}; {expected[0]} timestamps and "
                f"{expected[1]} sensors ask for {expected}"
            )
        ordered = (np.diff(timestamps_ms) > 0).all()
        if len(window) and len(timestamps_ms):
            ordered = ordered and timestamps_ms[0] > window.timestamps_ms[-1]
        if not ordered:
            raise ValueError(
                "timestamps must strictly increase and be later than the window's last; take late "
                "and duplicate rows out first"
            )
