"""Plots of a fit, for the people who read a run. Draws without a display, and keeps no state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from faultline.detector.evaluation import STRENGTHS, InjectionReport
from faultline.detector.fit import Candidate, ClusterProfile, Fit, Timeline
from services.trainer.canvas import plain, save
from services.trainer.cluster_plots import draw_discrimination, draw_map
from services.trainer.evaluation import Evaluation
from services.trainer.windows import WindowSample

_MAX_TIMELINES = 12
_MAX_POINTS = 4_000
_MAX_SENSORS = 40
_MAX_SHOWN_SCORE = 10.0


def draw_plots(folder: Path, fit: Fit, evaluation: Evaluation, sample: WindowSample) -> None:
    """Draw all plots of a fit as PNG files into a folder.

    Without an evaluation, none of it; with one cluster, no plot of what tells clusters apart.
    """
    draw_silhouettes(folder / "silhouette_by_k.png", fit.candidates, fit.k, fit.silhouette_rows)
    draw_timelines(folder / "score_timeline.png", fit.timelines)
    draw_profiles(folder / "cluster_profiles.png", fit.profiles, fit.detector.sensors)
    draw_map(folder / "cluster_map.png", sample)
    if fit.k > 1:
        draw_discrimination(folder / "sensors_that_tell_clusters_apart.png", sample)
    if isinstance(evaluation, InjectionReport):
        draw_recall(folder / "injected_recall.png", evaluation)


def draw_silhouettes(
    path: Path, candidates: Sequence[Candidate], chosen_k: int, sample_rows: int
) -> None:
    """Draw the silhouette of every k that was tried, the chosen one marked."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    defined = [one for one in candidates if np.isfinite(one.silhouette)]
    axes.plot([one.k for one in defined], [one.silhouette for one in defined], color="0.6")
    for one in defined:
        refused = one.refusal is not None
        axes.plot(
            one.k,
            one.silhouette,
            marker="x" if refused else "o",
            color="tab:green" if one.k == chosen_k else "0.4",
            markersize=11 if one.k == chosen_k else 7,
        )
    axes.set_xticks([one.k for one in candidates])
    axes.set_xlabel(
        "clusters k (cross: not considered, for a tiny, unstable or unseparated cluster)"
    )
    axes.set_ylabel(f"Euclidean silhouette of {sample_rows} windows")
    axes.set_title(f"Silhouette by k; chosen: {chosen_k}")
    save(figure, path)


def draw_timelines(path: Path, timelines: Sequence[Timeline]) -> None:
    """Draw each machine's held-out scores over time, with the boundary at 1."""
    shown = timelines[:_MAX_TIMELINES]
    figure = Figure(figsize=(9, 1.2 + 1.5 * max(1, len(shown))), layout="constrained")
    rows = figure.subplots(max(1, len(shown)), 1, sharex=True, squeeze=False)[:, 0]
    for axes, timeline in zip(rows, shown, strict=False):
        step = -(-len(timeline.scores) // _MAX_POINTS)
        times = [
            datetime.fromtimestamp(at_ms / 1000, UTC)
            for at_ms in timeline.timestamps_ms[::step].tolist()
        ]
        axes.plot(times, np.minimum(timeline.scores[::step], _MAX_SHOWN_SCORE), linewidth=0.6)
        axes.axhline(1.0, color="tab:red", linewidth=0.8)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(plain(timeline.machine_id, 20), fontsize=8)
    left_out = len(timelines) - len(shown)
    rows[-1].set_xlabel("day and time, UTC")
    figure.suptitle(
        "Held-out scores (the boundary is 1)"
        + (f"; {left_out} more machines are not shown" if left_out else "")
    )
    save(figure, path)


def draw_profiles(path: Path, profiles: Sequence[ClusterProfile], sensors: Sequence[str]) -> None:
    """Draw each cluster's mean of every sensor, coloured by where it lies among the clusters."""
    shown = sensors[:_MAX_SENSORS]
    means = np.array([[profile.means[name] for name in shown] for profile in profiles])
    spread = means.std(axis=0)
    relative = (means - means.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    figure = Figure(
        figsize=(2.5 + 0.5 * len(shown), 2.2 + 0.45 * len(profiles)), layout="constrained"
    )
    axes = figure.subplots()
    limit = max(1.0, float(np.abs(relative).max()))
    image = axes.imshow(relative, cmap="coolwarm", vmin=-limit, vmax=limit, aspect="auto")
    # With two clusters every colour is at its end: the means themselves say how far apart they are.
    for row, column in np.ndindex(means.shape):
        ends = abs(relative[row, column]) > 0.6 * limit
        axes.text(
            column,
            row,
            f"{means[row, column]:.4g}",
            ha="center",
            va="center",
            fontsize=7,
            color="w" if ends else "k",
        )
    axes.set_xticks(range(len(shown)), [plain(name, 24) for name in shown], rotation=60, ha="right")
    axes.set_yticks(
        range(len(profiles)),
        [f"cluster {profile.cluster} ({profile.share:.0%})" for profile in profiles],
    )
    figure.colorbar(image, ax=axes, label="spreads from\nthe clusters' mean")
    left_out = len(sensors) - len(shown)
    axes.set_title(
        "Cluster profiles" + (f"; {left_out} more sensors are not shown" if left_out else "")
    )
    save(figure, path)


def draw_recall(path: Path, report: InjectionReport) -> None:
    """Draw the part of the injected faults that was found, by kind and strength."""
    columns = (*STRENGTHS, None)
    kinds = [result.kind for result in report.by_kind]
    recall = np.full((len(kinds), len(columns)), np.nan)
    for result in report.by_strength:
        if result.recall is not None:
            recall[kinds.index(result.kind), columns.index(result.strength)] = result.recall
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(recall, cmap="YlGn", vmin=0, vmax=1, aspect="auto")
    for row, column in np.argwhere(np.isfinite(recall)).tolist():
        found = recall[row, column]
        axes.text(
            column, row, f"{found:.0%}", ha="center", va="center", color="w" if found > 0.6 else "k"
        )
    axes.set_xticks(
        range(len(columns)),
        [*(f"{strength:g}" for strength in STRENGTHS), "has no\nstrength"],
    )
    axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.set_xlabel("strength, in standard deviations of the sensor's single rows")
    figure.colorbar(image, ax=axes, label="part found")
    axes.set_title(
        f"Injected faults found; {report.false_alarms} false alarms in "
        f"{report.machine_days:.2g} machine-days"
    )
    save(figure, path)
