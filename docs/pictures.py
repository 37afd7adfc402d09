"""Draws the pictures of `docs/detector.md`: `make pictures`.

Every curve is the real detector on data made here from a fixed seed, so a picture cannot show what
the code does not do. It must not read a recording.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from faultline.alarms import AlarmPolicy
from faultline.detector import Detector, MachineHistory, Scores, Window
from faultline.detector.covariance import Metric
from faultline.detector.explanation import sentence
from faultline.detector.fit import Fit, FitConfig, fit
from faultline.judge import Model, judge
from faultline.readings import Reading
from faultline.sources.faults import FaultKind
from faultline.sources.plant import Plant
from faultline.verdicts import Status

HERE = Path(__file__).parent / "pictures"

# Okabe and Ito's colours, which the colour-blind can tell apart; each also has a form of its own.
_BLUE, _VERMILLION, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#E69F00", "#009E73", "0.6"

# Text stays text and ids are not drawn at random: the file is small and always the same.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "faultline",
    "path.simplify_threshold": 0.5,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
}

_PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}

FloatArray = NDArray[np.float64]


def window() -> Figure:
    """A leak within a load cycle: means over ten rows and over the cycle."""
    plant = Plant(machines=1, period_rows=60)
    name, first, rows, leak = "pump-01", 360_000, 480, 240
    sensors = ("flow", "efficiency")
    columns = [plant.sensors.index(sensor) for sensor in sensors]
    fault = plant.fault(FaultKind.LEAK, name, (first + leak) * 1000, 3_600_000)
    history = plant.values(name, first - 3_600, 3_600)[:, columns]
    values = plant.with_faults([fault]).values(name, first - 60, rows + 60)[:, columns]
    found = _fit(history, sensors)
    short = _fit(history, sensors, FitConfig(window_rows=10))
    figure, (raw, scores) = _figure(2, 1, height=4.6, sharex=True)
    seconds = np.arange(rows)
    flow = values[:, 0]
    raw.plot(seconds, flow[60:], color=_GREY, lw=0.7, label="flow, every reading")
    for length, color, style in ((10, _ORANGE, "-"), (60, _BLUE, "-")):
        mean = np.convolve(flow, np.ones(length) / length)[60 : 60 + rows]
        raw.plot(seconds, mean, style, color=color, lw=1.4, label=f"mean of {length} rows")
    raw.set_ylabel("m³/h")
    raw.set_title(f"A pump with a load cycle, and a leak from the {leak}th second on")
    raw.legend(ncols=3, loc="lower left")
    for one, color, style in ((short, _ORANGE, "--"), (found, _BLUE, "-")):
        score = _score(one.detector, values).score[60:]
        label = f"window of {one.detector.window_rows} rows"
        scores.plot(seconds, score, style, color=color, lw=1.2, label=label)
    scores.set_title(f"Score. What training found: {found.window_reason}")
    _boundary(scores)
    scores.set_xlabel("seconds")
    for axes in (raw, scores):
        axes.axvspan(leak, rows, color=_VERMILLION, alpha=0.08, lw=0)
    return figure


def regimes() -> Figure:
    """Three operating regimes and one: what is tried, and what is chosen."""
    rng = np.random.default_rng(1)
    visits = rng.permutation(np.repeat([0, 1, 2], 20))
    centres = np.array([[20.0, 2.0], [34.0, 3.8], [48.0, 1.4]])
    three = np.repeat(centres[visits], 50, axis=0) + rng.normal(0, (2.0, 0.12), (3000, 2))
    one = rng.normal((35.0, 3.0), (6.0, 0.3), (3000, 2))
    figure, panels = _figure(2, 2, height=5.6)
    for (cloud, bars), rows, duties in zip(
        panels, (three, one), ("three duties", "one duty"), strict=True
    ):
        result = _fit(rows, ("flow", "pressure"), FitConfig(window_rows=1), k_max=6)
        cloud.scatter(*rows[::20].T, s=6, color=_GREY, label="windows of the history")
        for profile in result.profiles:
            cloud.plot(
                profile.means["flow"], profile.means["pressure"], "P", ms=10, color=_VERMILLION
            )
        _contour(cloud, result.detector)
        cloud.set_title(f"A machine with {duties}: k={result.k}")
        cloud.set_xlabel("flow")
        cloud.set_ylabel("pressure")
        for candidate in result.candidates:
            taken, refused = candidate.k == result.k, bool(candidate.refusal)
            bars.bar(
                candidate.k,
                candidate.silhouette,
                color=_BLUE if taken else "white" if refused else _GREY,
                edgecolor=_GREY if refused else _BLUE,
                hatch="//" if refused else None,
            )
            if candidate.refusal:
                said = candidate.refusal.split(":")[0]
                bars.text(candidate.k, 0.02, said, rotation=90, ha="center", bbox=_PLATE)
        bars.set_ylim(0, 1)
        bars.set_xlabel("k: number of clusters tried")
        bars.set_title("Silhouette; hatched: refused, and why")
    return figure


def distance() -> Figure:
    """Two sensors that move together, and a row that breaks the relation."""
    rng = np.random.default_rng(2)
    load = np.repeat(rng.normal(0, 1, 300), 10)
    rows = np.column_stack((30 + 3 * load, 6 + 0.6 * load)) + rng.normal(0, (0.5, 0.1), (3000, 2))
    apart, along = np.array([33.2, 5.25]), np.array([36.5, 7.3])
    figure, panels = _figure(1, 2, height=3.8)
    for axes, name in zip(panels, ("euclidean", "covariance"), strict=True):
        config = FitConfig(window_rows=1, distance=name, drift="off")  # type: ignore[arg-type]
        detector = _fit(rows, ("current", "flow"), config).detector
        axes.scatter(*rows[::20].T, s=6, color=_GREY)
        _contour(axes, detector)
        for row, mark, said in ((along, "o", "more load"), (apart, "X", "relation broken")):
            score = _score(detector, row[np.newaxis]).score[0]
            color = _VERMILLION if score > 1 else _GREEN
            axes.plot(*row, mark, color=color, ms=8)
            axes.annotate(f"{said}: {score:.2f}", row, (6, -12), textcoords="offset points")
        axes.set_title(f"Boundary by {name} distance")
        axes.set_xlabel("current")
        axes.set_ylabel("flow")
        axes.set_xlim(17, 48)
        axes.set_ylim(3.4, 8.6)
    return figure


def held_out() -> Figure:
    """Scores of held-out stretches, one of which is a warm-up."""
    rng = np.random.default_rng(3)
    rows = np.repeat(rng.normal(0, 1, (250, 3)), 10, axis=0) * 0.4 + rng.normal(0, 1, (2500, 3))
    cold = rows.copy()
    cold[:500] -= np.outer(6 * np.exp(-np.arange(500) / 150), (1, 1, 0))
    figure, panels = _figure(2, 1, height=4.8, sharex=True)
    for axes, values, said in zip(
        panels, (rows, cold), ("A healthy history", "The same, begun with a warm-up"), strict=True
    ):
        result = _fit(values, ("a", "b", "c"), FitConfig(drift="off", distance="euclidean"))
        boundary = result.detector.boundary
        timeline = result.timelines[0]
        shown = slice(None, None, 3)
        seconds, scores = timeline.timestamps_ms[shown] / 1000, timeline.scores[shown]
        axes.plot(seconds, scores * boundary, color=_BLUE, lw=0.7)
        highs = np.array([block.high_score * boundary for block in result.held_out_blocks])
        for block, high in zip(result.held_out_blocks, highs, strict=True):
            axes.hlines(high, block.start_ms / 1000, block.end_ms / 1000, color="black", lw=1.4)
        for edge in range(500, 2500, 500):
            axes.axvline(edge, color=_GREY, lw=0.6, ls=":")
        axes.axhline(boundary, color=_VERMILLION, ls="--", lw=1.2)
        axes.set_title(
            f"{said}: boundary {boundary:.1f}; the highest stretch says {highs.max():.1f}"
        )
        axes.set_ylabel("distance")
    panels[-1].set_xlabel("seconds; five stretches, each judged by the other four")
    return figure


def slow() -> Figure:
    """A temperature that follows the weather, beside a pressure that holds its level."""
    rng = np.random.default_rng(4)
    n, rows = 4_000, 12_000
    weather = np.linspace(12, 48, rows) + np.sin(2 * np.pi * np.arange(rows) / 2_000)
    values = np.column_stack((weather, np.full(rows, 4.0))) + rng.normal(0, (0.3, 0.1), (rows, 2))
    values[n + 3_000 : n + 3_600, 1] += 0.15
    figure, (raw, scores) = _figure(2, 1, height=4.4, sharex=True)
    minutes = np.arange(rows) / 60
    raw.plot(minutes[::40], values[::40, 0], color=_ORANGE, lw=0.8, label="temperature")
    raw.plot(minutes[::40], 5 * values[::40, 1], color=_BLUE, lw=0.8, label="5 times the pressure")
    raw.axvline(n / 60, color="black", lw=0.8, ls=":")
    raw.legend(ncols=2, loc="upper left")
    raw.set_title("Left of the dotted line: history; right: new rows, with a fault of the pressure")
    for drift, color, style in (("auto", _BLUE, "-"), ("off", "black", ":")):
        config = FitConfig(drift=drift, distance="euclidean")  # type: ignore[arg-type]
        result = _fit(values[:n], ("temperature", "pressure"), config)
        score = _score(result.detector, values[n:]).score
        found = ", ".join(result.slow_sensors) or "none"
        label = f'drift="{drift}" (slow: {found})'
        scores.plot(minutes[n::20], score[::20], style, color=color, lw=1.0, label=label)
    scores.set_title("Score of the new rows")
    _boundary(scores)
    scores.set_xlabel("minutes")
    return figure


def adaptation() -> Figure:
    """Slow drift is followed; a jump alarms, and after long enough is the new normal."""
    rng = np.random.default_rng(5)
    history, n, jump, back = 3_000, 16_000, 5_500, 14_500
    values = rng.normal((50.0, 3.0), (1.0, 0.1), (history + n, 2))
    moved = values[history:]
    moved[:, 0] += 0.8 * np.minimum(np.arange(n) / 4_000, 1.0)
    moved[jump:back, 0] += 3.0
    names = ("temperature", "pressure")
    detector = _fit(values[:history], names).detector
    readings = [
        Reading(
            machine_id="pump-01",
            timestamp_ms=1000 * row,
            sensors=dict(zip(names, cells, strict=True)),
        )
        for row, cells in enumerate(moved.tolist())
    ]
    judged = judge(Model("m", "1", detector), None, readings, AlarmPolicy())
    verdicts = judged.batch.verdicts
    score = np.array([np.nan if one.score is None else one.score for one in verdicts])
    status = np.array([str(one.status) for one in verdicts])
    alarm = judged.alarm_events[0].alarm
    followed = _offsets(detector, moved)
    figure, (raw, scores) = _figure(2, 1, height=5.0, sharex=True)
    minutes = np.arange(n) / 60
    raw.plot(minutes[::40], moved[::40, 0], color=_GREY, lw=0.6, label="temperature")
    raw.plot(minutes[::40], followed[::40], color=_BLUE, lw=1.6, label="what is expected of it")
    raw.legend(ncols=2, loc="upper left")
    raw.set_title("Drift is followed; a jump is not, until it has lasted")
    scores.plot(minutes[::40], score[::40], color=_BLUE, lw=0.8, label="score")
    _boundary(scores)
    for name, color, hatch in (
        (Status.FAILURE, _VERMILLION, ""),
        (Status.NEW_NORMAL, _GREEN, "//"),
    ):
        where = np.flatnonzero(status == name)
        run = where[(where >= alarm.opened_at_ms // 1000) & (where < back)]
        scores.axvspan(
            minutes[run[0]], minutes[run[-1]], alpha=0.2, color=color, hatch=hatch, lw=0, label=name
        )
    settle = detector.rule.settle_ms / 60_000
    scores.set_title(f"Score and verdict: the new state counts after {settle:.0f} minutes")
    scores.legend(ncols=4, loc="upper right")
    scores.set_ylim(0, 3.5)
    scores.set_xlabel("minutes")
    return figure


def explanation() -> Figure:
    """Contributions of one alarm: shares, and observed against expected."""
    plant = Plant(machines=1, period_rows=60)
    name, first = "pump-01", 360_000
    history = plant.values(name, first - 7_200, 7_200)
    fault = plant.fault(FaultKind.LEAK, name, first * 1000, 3_600_000)
    values = plant.with_faults([fault]).values(name, first - 60, 300)
    detector = _fit(history, plant.sensors).detector
    scores = _score(detector, values)
    parts = detector.explain(scores, len(values) - 1)[:5][::-1]
    figure, (shares, bands) = _figure(1, 2, height=3.4)
    shares.barh([part.sensor for part in parts], [part.share for part in parts], color=_BLUE)
    shares.set_title("Share of the deviation")
    for row, part in enumerate(parts):
        half = (part.expected_high - part.expected_low) / 2
        off = (part.observed - part.expected) / half
        bands.barh(row, 2, left=-1, color=_GREY, alpha=0.5)
        bands.plot(off, row, "D", color=_VERMILLION)
    bands.axvline(0, color="black", lw=0.8)
    bands.yaxis.tick_right()
    bands.set_yticks(
        range(len(parts)), [f"{part.observed:.4g}, expected {part.expected:.4g}" for part in parts]
    )
    bands.set_title("Observed (diamond) in its expected range (bar)")
    figure.suptitle(sentence(name, detector.explain(scores, len(values) - 1)), fontsize=9)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "window": window,
    "regimes": regimes,
    "distance": distance,
    "held-out": held_out,
    "slow": slow,
    "adaptation": adaptation,
    "explanation": explanation,
}


def draw(folder: Path) -> None:
    """Draw every picture into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        with mpl.rc_context(_STYLE):
            canvas = FigureCanvasSVG(picture())
            canvas.print_figure(folder / f"{name}.svg", format="svg", metadata={"Date": None})


def _figure(
    rows: int, columns: int, height: float, sharex: bool = False
) -> tuple[Figure, NDArray[np.object_]]:
    figure = Figure(figsize=(8, height), layout="constrained", facecolor="white")
    return figure, figure.subplots(rows, columns, sharex=sharex)


def _fit(
    values: FloatArray, sensors: tuple[str, ...], config: FitConfig | None = None, *, k_max: int = 3
) -> Fit:
    times = 1000 * np.arange(len(values), dtype=np.int64)
    # Fewer candidates and a smaller sample than by default: it looks the same, but sooner.
    config = replace(config or FitConfig(), k_max=k_max, silhouette_sample_rows=500)
    return fit(sensors, [MachineHistory("pump-01", times, values)], config)


def _score(detector: Detector, values: FloatArray) -> Scores:
    times = 1000 * np.arange(len(values), dtype=np.int64)
    empty = Window.empty(detector.sensors)
    return detector.score(empty, times, values, machine_id="pump-01")[0]


def _offsets(detector: Detector, values: FloatArray) -> FloatArray:
    """What is expected of the first sensor at each row, as it is followed."""
    scores = _score(detector, values)
    shift = scores.shifts[scores.shift_of] + detector.clusters[np.maximum(scores.cluster, 0)]
    expected: FloatArray = detector.centre[0] + detector.scale[0] * shift[:, 0]
    return expected


def _boundary(axes: Axes) -> None:
    axes.axhline(1.0, color=_VERMILLION, lw=1.2, ls="--", label="boundary")
    axes.set_ylim(bottom=0)
    axes.legend(ncols=3, loc="upper left")


def _contour(axes: Axes, detector: Detector) -> None:
    """Draw where the score is 1."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    x, y = np.meshgrid(np.linspace(left - 8, right + 8, 90), np.linspace(low - 1, high + 1, 90))
    places = (np.column_stack((x.ravel(), y.ravel())) - detector.centre) / detector.scale
    metric = Metric(detector.covariance if detector.covariance.size else None)
    reach = metric.nearest(places, None, detector.clusters)[0] / detector.boundary
    axes.contour(x, y, reach.reshape(x.shape), levels=[1.0], colors=_VERMILLION, linestyles="--")


if __name__ == "__main__":
    draw(HERE)
