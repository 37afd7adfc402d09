"""What a fit came to, in blocks: each has lines for a person and the same as data.

One function a block: what a fit learns to say is one function more in `BLOCKS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from faultline.detector.config import FitConfig
from faultline.offline.block import Block
from faultline.offline.label_like import label_like
from faultline.offline.prospects import false_alarms, injected_faults
from faultline.offline.table import is_dated
from faultline.offline.training import Learnt
from faultline.offline.wording import count, duration, percent
from faultline.readings import format_timestamp


def blocks(learnt: Learnt) -> list[Block]:
    """Everything that is said of a fit, in the order in which it is read."""
    return [make(learnt) for make in BLOCKS]


def rows(learnt: Learnt) -> Block:
    """How many rows, from when to when, and which were left out."""
    histories = learnt.histories
    start, end = format_timestamp(learnt.start_ms), format_timestamp(learnt.end_ms)
    span = duration((learnt.end_ms - learnt.start_ms) / 1_000)
    lines = [f"{learnt.rows:,} from {start} to {end} ({span})"]
    if not is_dated(learnt.end_ms):
        lines.append(
            "these times are numbers that name no date; only the steps between them count "
            "(--timestamp-unit says what they count)"
        )
    if histories.empty_rows:
        lines.append(f"left out: {histories.empty_rows:,} without any value")
    if histories.doubled_rows:
        lines.append(
            f"left out: {histories.doubled_rows:,} with a timestamp that a row before has (the "
            "first counts; if these are of several machines, name the column with --machine-column)"
        )
    if histories.faulty_rows:
        lines.append(f"left out: {histories.faulty_rows:,} for which the file names a fault")
    content = {
        "used": learnt.rows,
        "read": histories.rows_read,
        "empty": histories.empty_rows,
        "doubled": histories.doubled_rows,
        "faulty": histories.faulty_rows,
        "start": start,
        "end": end,
    }
    return Block("rows", lines, "rows", content)


def machines(learnt: Learnt) -> Block:
    """Whose rows they are, and which of them have a baseline of their own."""
    own = learnt.fit.detector.machines
    found = [(one.machine_id, len(one.timestamps_ms)) for one in learnt.histories.machines]
    named = _names([f"{name} ({count(held, 'row')})" for name, held in found])
    lines = [f"{len(found)}: {named}" if len(found) > 1 else found[0][0]]
    lines.append(
        f"with a baseline of their own: {_names(own)}" if own else "none has a baseline of its own"
    )
    content = [
        {"machine_id": name, "rows": held, "own_baseline": name in own} for name, held in found
    ]
    return Block("machines", lines, "machines", content)


def sensors(learnt: Learnt) -> Block:
    """Which columns are judged, and which are left out for what reason."""
    used = learnt.fit.detector.sensors
    left_out = learnt.histories.left_out_columns | dict(learnt.fit.left_out_sensors)
    lines = [f"{len(used)} used: {_names(used)}"]
    lines += [f"left out: {name} ({reason})" for name, reason in left_out.items()]
    labels = label_like(used, learnt.histories.sensors, learnt.histories.machines)
    lines += [
        f"{name} holds 0 and 1 only and is named like a label: if it is one, --fault-column {name} "
        f"leaves out the rows that it marks, --ignore {name} the column alone"
        for name in labels
    ]
    content = {"used": used, "left_out": left_out, "label_like": labels}
    return Block("sensors", lines, "sensors", content)


def slow_sensors(learnt: Learnt) -> Block:
    """Whose slow changes mean nothing, declared or found."""
    slow = dict(learnt.fit.slow_sensors)
    lines = _joined(slow) or ["none"]
    return Block("slow sensors", lines, "slow_sensors", slow)


def window(learnt: Learnt) -> Block:
    """How many rows are averaged before they are judged, and the load cycle behind that."""
    fit = learnt.fit
    rows_long, reason = fit.detector.window_rows, fit.window_reason
    content = {"rows": rows_long, "period_rows": fit.period_rows, "reason": reason}
    return Block("window", [f"{count(rows_long, 'row')}: {reason}"], "window", content)


def clusters(learnt: Learnt) -> Block:
    """The number of clusters with its silhouette, and the numbers that were not taken."""
    fit = learnt.fit
    if learnt.silhouette is None:
        lines = ["1, whose silhouette is undefined: no more could be chosen"]
    else:
        lines = [
            f"{fit.k}, silhouette {learnt.silhouette:.3f} (Euclidean, on "
            f"{fit.silhouette_rows:,} windows): {fit.k_reason}"
        ]
        lines += [
            f"cluster {profile.cluster}: {percent(profile.share)} of the windows"
            for profile in fit.profiles
        ]
    refused: dict[str, list[str]] = {}
    for one in sorted(fit.candidates, key=lambda one: -(_finite(one.silhouette) or -1.0)):
        if one.refusal is not None:
            kind, _, _ = one.refusal.partition(":")
            refused.setdefault(kind, []).append(f"{one.k} ({_silhouette(one.silhouette)})")
    lines += [f"not k={_names(ks, _MOST_REFUSED)}: {kind}" for kind, ks in refused.items()]
    content = {
        "k": fit.k,
        "silhouette": learnt.silhouette,
        "silhouette_metric": "euclidean",
        "silhouette_rows": fit.silhouette_rows,
        "reason": fit.k_reason,
        "candidates": [
            {
                "k": one.k,
                "silhouette": _finite(one.silhouette),
                "smallest_share": one.smallest_share,
                "refusal": one.refusal,
            }
            for one in fit.candidates
        ],
        "profiles": [
            {"cluster": one.cluster, "share": one.share, "means": dict(one.means)}
            for one in fit.profiles
        ],
    }
    return Block("clusters", lines, "clusters", content)


def distance(learnt: Learnt) -> Block:
    """How far two rows are apart: plainly, or as the sensors move together."""
    kind = "covariance" if learnt.fit.detector.covariance.size else "euclidean"
    reason = learnt.fit.distance_reason
    lines = [reason]
    if " scales" in reason:
        lines.append("(a scale is the robust standard deviation of a sensor's window means)")
    return Block("distance", lines, "distance", {"kind": kind, "reason": reason})


def boundary(learnt: Learnt) -> Block:
    """The distance that scores 1.0, and what it was found from."""
    fit, detector = learnt.fit, learnt.fit.detector
    lines = [
        f"the distance {detector.boundary:.4g} scores 1.0, found on "
        f"{len(fit.held_out_blocks)} held-out stretches for a false-alarm rate of "
        f"{learnt.config.false_alarm_rate:g}",
        f"above the score {detector.unknown_score:.3g} a row is unlike every cluster",
    ]
    lines += [
        f"unlike the rest of the history: {one.machine_id}, {format_timestamp(one.start_ms)} to "
        f"{format_timestamp(one.end_ms)} (its high score is {one.high_score:.3g})"
        for one in fit.held_out_blocks
        if one.high_score > _UNLIKE_THE_REST
    ]
    if len(lines) > _ORDINARY_LINES:
        lines.append(
            "a fault or a start-up is best left out: remove those rows and fit again; if it was "
            "ordinary running, a longer history with more of it makes it known"
        )
    content = {
        "distance": detector.boundary,
        "unknown_score": detector.unknown_score,
        "false_alarm_rate": learnt.config.false_alarm_rate,
        "held_out_blocks": [
            {
                "machine_id": one.machine_id,
                "start": format_timestamp(one.start_ms),
                "end": format_timestamp(one.end_ms),
                "windows": one.windows,
                "high_score": one.high_score,
                "alarm_rate": one.alarm_rate,
            }
            for one in fit.held_out_blocks
        ],
    }
    return Block("boundary", lines, "boundary", content)


def settings(learnt: Learnt) -> Block:
    """Every setting of the fit; a person is told those that are not the defaults."""
    content, defaults = asdict(learnt.config), asdict(FitConfig())
    changed = [
        f"{name}: {', '.join(value) if isinstance(value, tuple) else value}"
        for name, value in content.items()
        if value != defaults[name]
    ]
    return Block("settings", changed or ["the defaults"], "settings", content)


BLOCKS: tuple[Callable[[Learnt], Block], ...] = (
    rows,
    machines,
    sensors,
    slow_sensors,
    window,
    clusters,
    distance,
    boundary,
    false_alarms,
    injected_faults,
    settings,
)

_UNLIKE_THE_REST = 1.5
_ORDINARY_LINES = 2
_MOST_NAMES = 20
_MOST_REFUSED = 3
_COUNTED = re.compile(r"(?P<before>\D*)(?P<number>\d+)(?P<after> times .*)")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _silhouette(number: float) -> str:
    return f"silhouette {number:.3f}" if math.isfinite(number) else "silhouette undefined"


def _joined(reasons: Mapping[str, str]) -> list[str]:
    """Names that share a reason but for its number on one line, such as `a (7), b (5): ...`."""
    shared: dict[str, list[tuple[str, str]]] = {}
    for name, reason in reasons.items():
        found = _COUNTED.fullmatch(reason)
        general = reason if found is None else f"{found['before']}so many{found['after']}"
        shared.setdefault(general, []).append((name, "" if found is None else found["number"]))
    return [
        f"{members[0][0]}: {reasons[members[0][0]]}"
        if len(members) == 1
        else f"{_names([f'{name} ({number})' if number else name for name, number in members])}: "
        f"{general}"
        for general, members in shared.items()
    ]


def _names(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    more = len(names) - most
    shown = ", ".join(names[:most])
    return f"{shown} and {more} more" if more > 0 else shown
