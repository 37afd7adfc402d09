"""Pictures of scores and of one explanation. Draws without a display, and keeps no state.

Colours are Okabe and Ito's, which the colour-blind can tell apart, and nothing is told by colour
alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from faultline.offline.explaining import Explained
from faultline.offline.output import unwritable
from faultline.offline.scoring import Scored
from faultline.offline.sickness import sick_spans
from faultline.offline.table import Table
from faultline.offline.wording import count, percent
from faultline.verdicts import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 110
_MAX_POINTS = 2_000
_SHOWN_SENSORS = 3
_EXPLAINED_SENSORS = 4
_LOG_ABOVE = 10.0
_FLATTENED_FROM = 4.0
_MARKED = ("stuck", "out_of_range")
_BLUE, _VERMILLION, _ORANGE, _GREY = "#0072B2", "#D55E00", "#E69F00", "0.55"


def draw_scores(path: Path, table: Table, scored: Scored) -> str:
    """Draw one machine's score, boundary and alarms, and below its three top sensors, as PNG.

    Of several machines it is the one with the highest score.

    Returns
    -------
    str
        The machine that is drawn.
    """
    machine = _worst(scored)
    _save(scores_figure(table, scored, machine), path)
    return machine


def scores_figure(table: Table, scored: Scored, machine: str) -> Figure:
    """Make the picture of `draw_scores`."""
    own = np.flatnonzero(np.array(scored.machines, dtype=object) == machine)
    in_order = np.array(
        [scored.status[row] not in {Status.LATE, Status.DUPLICATE} for row in own.tolist()]
    )
    rows = own[in_order]
    sensors = _top_sensors(scored, machine, rows)
    figure = Figure(figsize=(11, 3 + 1.6 * len(sensors)), layout="constrained")
    panels = figure.subplots(
        1 + len(sensors),
        1,
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": [2, *[1] * len(sensors)]},
    )[:, 0]
    times = table.timestamps_ms[rows]
    _draw_score(panels[0], times, scored.score[rows])
    for axes, sensor in zip(panels[1:], sensors, strict=True):
        _line(axes, times, table.values[rows, table.sensors.index(sensor)], _BLUE)
        axes.set_ylabel(_plain(sensor, 22), fontsize=8)
        _mark_sick(axes, table, sick_spans(scored, rows, sensor, _MARKED))
    alarms = [alarm for alarm in scored.alarms if alarm.machine_id == machine]
    for axes in panels:
        for index, alarm in enumerate(alarms):
            ended = alarm.closed_at_ms or int(times[-1])
            axes.axvspan(
                _moment(alarm.opened_at_ms),
                _moment(ended),
                facecolor=_ORANGE,
                alpha=0.3,
                hatch="//",
                edgecolor=_ORANGE,
                linewidth=0,
                label="alarm" if index == 0 else None,
            )
    _legend(panels[0])
    _time_axis(panels[-1], table.is_dated())
    figure.suptitle(f"{_plain(machine, 60)}: {count(len(alarms), 'alarm')}")
    return figure


def draw_explanation(path: Path, table: Table, explained: Explained) -> None:
    """Draw the sensors with the largest shares around the explained row, as PNG."""
    _save(explanation_figure(table, explained), path)


def explanation_figure(table: Table, explained: Explained) -> Figure:
    """Make the picture of `draw_explanation`: of each sensor what it was and should have been."""
    shown = explained.contributions[:_EXPLAINED_SENSORS]
    names = [part.sensor for part in shown] or list(table.sensors[:_EXPLAINED_SENSORS])
    figure = Figure(figsize=(11, 1.4 + 1.9 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    times = table.timestamps_ms[explained.around]
    for axes, name in zip(panels, names, strict=True):
        followed = _followed(explained, name)
        if name in table.sensors:
            values = table.values[explained.around, table.sensors.index(name)]
            drawn_on = _readings_axes(axes, values, followed)
            _line(drawn_on, times, values, _GREY, "reading", width=0.7)
        _band(axes, times, followed.expected_low, followed.expected_high)
        _line(axes, times, followed.expected, _VERMILLION, "expected", width=1.4, dashes="--")
        _line(axes, times, followed.observed, _BLUE, "observed (mean of the window)", width=1.6)
        axes.axvline(_moment(int(table.timestamps_ms[explained.row])), color="black", linestyle=":")
        share = next((part.share for part in shown if part.sensor == name), None)
        axes.set_ylabel(_plain(name, 22), fontsize=8)
        if share is not None:
            axes.set_title(
                f"{_plain(name, 60)}: {percent(share)} of the deviation", fontsize=9, loc="left"
            )
    _legend(panels[0])
    _time_axis(panels[-1], table.is_dated())
    figure.suptitle(
        f"{_plain(explained.machine_id, 60)} at {_plain(explained.timestamp, 40)} (dotted line)"
    )
    return figure


def _mark_sick(axes: Axes, table: Table, spans: Iterable[tuple[int, int]]) -> None:
    for index, (first, last) in enumerate(spans):
        start, end = (_moment(int(table.timestamps_ms[row])) for row in (first, last))
        label = None if index else "stuck or out of range"
        axes.axvspan(
            start,  # type: ignore[arg-type]
            end,  # type: ignore[arg-type]
            facecolor=_GREY,
            alpha=0.35,
            linewidth=0,
            label=label,
        )
        if label:
            _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8, frameon=False, borderpad=0
    )


def _worst(scored: Scored) -> str:
    if np.isnan(scored.score).all():
        return scored.machines[0]
    return scored.machines[int(np.nanargmax(scored.score))]


def _top_sensors(scored: Scored, machine: str, rows: NDArray[np.int64]) -> list[str]:
    """The sensors that deviate most at the alarms' peaks, then those that most often come first."""
    at_peaks: dict[str, float] = {}
    for alarm in scored.alarms:
        if alarm.machine_id == machine:
            for part in alarm.top_sensors:
                at_peaks[part.sensor] = at_peaks.get(part.sensor, 0.0) + part.share
    first = Counter(scored.top_sensor[row] for row in rows.tolist() if scored.top_sensor[row])
    ranked = [
        *sorted(at_peaks, key=lambda sensor: -at_peaks[sensor]),
        *(sensor for sensor, _ in first.most_common()),
    ]
    return list(dict.fromkeys(ranked))[:_SHOWN_SENSORS]


def _draw_score(axes: Axes, times_ms: NDArray[np.int64], score: NDArray[np.float64]) -> None:
    highest = float(np.nanmax(score)) if np.isfinite(score).any() else 1.0
    if highest > _LOG_ABOVE:
        axes.set_yscale("log")
        score = np.maximum(score, 0.01)
    else:
        axes.set_ylim(0, max(1.5, 1.1 * highest))
    _line(axes, times_ms, score, _BLUE, "score")
    axes.axhline(1.0, color=_VERMILLION, linestyle="--", linewidth=1.2, label="boundary")
    axes.set_ylabel("score" + (" (logarithmic)" if highest > _LOG_ABOVE else ""))


class _Followed(NamedTuple):
    """A sensor's values in each verdict, shape (m,); NaN where there are none."""

    observed: NDArray[np.float64]
    expected: NDArray[np.float64]
    expected_low: NDArray[np.float64]
    expected_high: NDArray[np.float64]


def _followed(explained: Explained, sensor: str) -> _Followed:
    found = np.full((4, len(explained.verdicts)), np.nan)
    for index, verdict in enumerate(explained.verdicts):
        for part in verdict.contributions:
            if part.sensor == sensor:
                found[:, index] = (
                    part.observed,
                    part.expected,
                    part.expected_low,
                    part.expected_high,
                )
                break
    return _Followed(*found)


def _readings_axes(axes: Axes, values: NDArray[np.float64], followed: _Followed) -> Axes:
    """Where readings are drawn: on a scale of their own if they would flatten what is judged."""
    judged = _span(np.concatenate(followed))
    if not 0 < judged * _FLATTENED_FROM < _span(values):
        return axes
    right = axes.twinx()
    right.set_ylabel("reading", fontsize=8, color=_GREY)
    right.tick_params(axis="y", labelcolor=_GREY)
    axes.set_zorder(right.get_zorder() + 1)
    axes.patch.set_visible(False)
    # So that the legend, which is made of the left axes, names the line of the right ones.
    axes.plot([], [], color=_GREY, linewidth=0.7, label="reading (right-hand scale)")
    return right


def _span(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if finite.size else 0.0


def _time_axis(axes: Axes, is_dated: bool) -> None:
    """Label times with their dates, in UTC."""
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    formatter = ConciseDateFormatter(locator, tz=UTC, show_offset=is_dated)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel("time (UTC)" if is_dated else "time from the start", fontsize=9)


def _band(
    axes: Axes, times_ms: NDArray[np.int64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> None:
    moments = [_moment(at_ms) for at_ms in times_ms.tolist()]
    axes.fill_between(
        moments,  # type: ignore[arg-type]
        low,
        high,
        facecolor=_VERMILLION,
        alpha=0.18,
        linewidth=0,
        label="expected range",
    )


def _line(
    axes: Axes,
    times_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    color: str,
    label: str | None = None,
    *,
    width: float = 1.0,
    dashes: str = "-",
) -> None:
    times_ms, values = thinned(times_ms, values)
    moments = [_moment(at_ms) for at_ms in times_ms.tolist()]
    axes.plot(moments, values, dashes, color=color, linewidth=width, label=label)  # type: ignore[arg-type]


def thinned(
    times_ms: NDArray[np.int64], values: NDArray[np.float64], points: int = _MAX_POINTS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keep the lowest and the highest value of each stretch: a thinned line that loses no peak.

    >>> thinned(np.arange(4), np.array([0.0, 9.0, 1.0, 1.0]), points=2)
    (array([0, 0, 2, 2]), array([0., 9., 1., 1.]))
    """
    if len(values) <= points:
        return times_ms, values
    starts = np.arange(0, len(values), -(-len(values) // points))
    both = np.stack([np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)], axis=1)
    return np.repeat(times_ms[starts], 2), both.ravel()


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _plain(name: str, longest: int) -> str:
    """A name as text: `$` would begin a formula, and the font has Latin, Greek and Cyrillic."""
    readable = "".join(letter if ord(letter) < 0x530 else "?" for letter in name)
    shortened = readable if len(readable) <= longest else f"{readable[: longest - 1]}…"
    return shortened.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    try:
        FigureCanvasAgg(figure).print_figure(
            path, format="png", dpi=_DPI, metadata={"Software": "Faultline"}
        )
    except OSError as error:
        raise unwritable(path, error) from error
