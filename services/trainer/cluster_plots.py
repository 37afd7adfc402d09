"""Plots of the clusters: where they lie, and which sensors tell them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from services.trainer.canvas import plain, save
from services.trainer.windows import WindowSample, discrimination

_MAX_POINTS = 4_000
_MAX_SENSORS = 25
_TINY_RATIO = 1e-3


def draw_map(path: Path, sample: WindowSample) -> None:
    """Draw the windows on their first two principal components, coloured by cluster."""
    axes_of, share = _principal(sample.means)
    middle = sample.means.mean(axis=0)
    thinned = slice(None, None, -(-len(sample.means) // _MAX_POINTS))
    points = (sample.means[thinned] - middle) @ axes_of
    centres = (sample.centres - middle) @ axes_of
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    axes = figure.subplots()
    for index in range(len(centres)):
        own = sample.cluster[thinned] == index
        axes.scatter(
            points[own, 0], points[own, 1], s=5, color=f"C{index}", alpha=0.5, linewidths=0
        )
        axes.scatter(
            centres[index, 0],
            centres[index, 1],
            marker="X",
            s=120,
            color=f"C{index}",
            edgecolors="k",
            label=f"cluster {index}",
        )
    axes.set_xlabel(f"first component ({share[0]:.0%} of the variance)")
    axes.set_ylabel(f"second component ({share[1]:.0%})")
    axes.set_title(f"Map of {len(points):,} windows (principal components, in scales)")
    axes.legend(loc="best")
    save(figure, path)


def _principal(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two directions of most variance, shape (d, 2), and their parts of it, shape (2,)."""
    covariance = np.atleast_2d(np.cov(means, rowvar=False, bias=True))
    variance, directions = np.linalg.eigh(covariance)
    first = np.zeros((len(covariance), 2))
    shares = np.zeros(2)
    count = min(2, len(variance))
    first[:, :count] = directions[:, ::-1][:, :count]
    shares[:count] = variance[::-1][:count] / max(variance.sum(), np.finfo(np.float64).tiny)
    return first, shares


def draw_discrimination(path: Path, sample: WindowSample) -> None:
    """Draw how well each sensor tells the clusters apart; see `discrimination`."""
    ratios = discrimination(sample)
    shown = dict(list(ratios.items())[:_MAX_SENSORS])
    figure = Figure(figsize=(7, 1.6 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    names = [plain(name, 30) for name in reversed(shown)]
    for row, ratio in enumerate(reversed(shown.values())):
        axes.plot(max(ratio, _TINY_RATIO), row, marker="o", color="tab:blue")
    axes.set_yticks(range(len(shown)), names)
    axes.set_xscale("log")
    axes.grid(axis="y", linewidth=0.4)
    axes.axvline(1.0, color="tab:red", linewidth=0.8)
    axes.set_xlabel("variance between the clusters over variance within them (log)")
    left_out = len(ratios) - len(shown)
    axes.set_title(
        "Which sensors tell the clusters apart"
        + (f"; {left_out} weaker ones are not shown" if left_out else "")
    )
    save(figure, path)
