"""What a peer is to the benchmarks: it learns from rows and says which others are anomalous."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.recordings import Mask, Rows

ASSUMED_CONTAMINATION = "default 10 %"
"""Names PyOD's own default threshold: a tenth of the training rows are taken for anomalies."""
Score = Callable[[Rows], NDArray[np.float64]]


@dataclass(frozen=True)
class Fitted:
    """A peer that has learnt.

    Attributes
    ----------
    score
        Rows of shape (n, d) to scores of shape (n,), higher is more anomalous.
    thresholds
        By what set it.
    """

    score: Score
    thresholds: Mapping[str, float]

    def bad(self, rows: Rows) -> dict[str, Mask]:
        """Say by each threshold which rows are above it, shape (n,)."""
        score = self.score(rows)
        return {name: score > threshold for name, threshold in self.thresholds.items()}


Peer = Callable[[Rows], Fitted]
"""Learns from training rows of shape (n, d)."""


def always(train: Rows) -> Fitted:  # noqa: ARG001 - a peer's signature
    """Call everything an anomaly: what a figure has to be held against."""
    return Fitted(lambda rows: np.ones(len(rows)), {"": 0.5})


def running_means(values: Rows, window_rows: int) -> Rows:
    """Average every whole window of consecutive rows: shape (n, d) to (n - window_rows + 1, d)."""
    windows = np.lib.stride_tricks.sliding_window_view(values, window_rows, axis=0)
    means: Rows = windows.mean(axis=-1)
    return means
