"""What a fit came to, in blocks: each has lines for a person and the same as data.

One function a block: what a fit learns to say is one function more in `BLOCKS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from faultline.detector.evaluation import FaultResult, NotEvaluated
from faultline.offline.training import Learnt
from faultline.readings import format_timestamp


@dataclass(frozen=True)
class Block:
    """One thing that is said of a fit.

    Attributes
    ----------
    title
        Before the first line.
    lines
        For a person.
    key, content
        The same for ``--json``: JSON values.
    """

    title: str
    lines: Sequence[str]
    key: str
    content: Any


def blocks(learnt: Learnt) -> list[Block]:
    """Everything that is said of a fit, in the order in which it is read."""
    return [make(learnt) for make in BLOCKS]


def as_text(found: Sequence[Block]) -> str:
    """The blocks as lines, the titles in a column of their own."""
    width = max(len(block.title) for block in found) + 2
    lines = []
    for block in found:
        for index, line in enumerate(block.lines):
            lines.append(f"{'' if index else block.title:<{width}}{line}")
    return "\n".join(lines)


def rows(learnt: Learnt) -> Block:
    """How many rows, from when to when, and which were left out."""
    histories = learnt.histories
    start, end = format_timestamp(learnt.start_ms), format_timestamp(learnt.end_ms)
    lines = [f"{learnt.rows:,} from {start} to {end}"]
    if histories.empty_rows:
        lines.append(f"left out: {histories.empty_rows:,} without any value")
    if histories.doubled_rows:
        lines.append(
            f"left out: {histories.doubled_rows:,} with a timestamp that a row before has (the "
            "first counts; if these are of several machines, name the column with --machine-column)"
        )
    content = {
        "used": learnt.rows,
        "read": histories.rows_read,
        "empty": histories.empty_rows,
        "doubled": histories.doubled_rows,
        "start": start,
        "end": end,
    }
    return Block("rows", lines, "rows", content)


def machines(learnt: Learnt) -> Block:
    """Whose rows they are, and which of them have a baseline of their own."""
    own = learnt.fit.detector.machines
    found = [(one.machine_id, len(one.timestamps_ms)) for one in learnt.histories.machines]
    lines = [
        f"{len(found)}: {_names([f'{name} ({count:,} rows)' for name, count in found])}"
        if len(found) > 1
        else found[0][0]
    ]
    lines.append(
        f"with a baseline of their own: {_names(own)}" if own else "none has a baseline of its own"
    )
    content = [
        {"machine_id": name, "rows": count, "own_baseline": name in own} for name, count in found
    ]
    return Block("machines", lines, "machines", content)


def sensors(learnt: Learnt) -> Block:
    """Which columns are judged, and which are left out for what reason."""
    used = learnt.fit.detector.sensors
    left_out = learnt.histories.left_out_columns | dict(learnt.fit.left_out_sensors)
    lines = [f"{len(used)} used: {_names(used)}"]
    lines += [f"left out: {name} ({reason})" for name, reason in left_out.items()]
    return Block("sensors", lines, "sensors", {"used": used, "left_out": left_out})


def slow_sensors(learnt: Learnt) -> Block:
    """Whose slow changes mean nothing, declared or found."""
    slow = dict(learnt.fit.slow_sensors)
    lines = [f"{name}: {reason}" for name, reason in slow.items()] or ["none"]
    return Block("slow sensors", lines, "slow_sensors", slow)


def window(learnt: Learnt) -> Block:
    """How many rows are averaged before they are judged, and the load cycle behind that."""
    fit = learnt.fit
    content = {
        "rows": fit.detector.window_rows,
        "period_rows": fit.period_rows,
        "reason": fit.window_reason,
    }
    return Block(
        "window", [f"{_rows(fit.detector.window_rows)}: {fit.window_reason}"], "window", content
    )


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
            f"cluster {profile.cluster}: {profile.share:.0%} of the windows"
            for profile in fit.profiles
        ]
    refused: dict[str, list[str]] = {}
    for one in fit.candidates:
        if one.refusal is not None:
            kind, _, _ = one.refusal.partition(":")
            refused.setdefault(kind, []).append(f"{one.k} ({_silhouette(one.silhouette)})")
    lines += [f"not k={', '.join(ks)}: {kind}" for kind, ks in refused.items()]
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
    return Block("distance", [reason], "distance", {"kind": kind, "reason": reason})


def boundary(learnt: Learnt) -> Block:
    """The distance that scores 1.0, and what it was found from."""
    fit, detector = learnt.fit, learnt.fit.detector
    lines = [
        f"the distance {detector.boundary:.4g} scores 1.0, found on {len(fit.held_out_blocks)} "
        f"held-out stretches for a false-alarm rate of {learnt.config.false_alarm_rate:g}",
        f"above the score {detector.unknown_score:.3g} a row is unlike every cluster",
    ]
    lines += [
        f"unlike the rest of the history: {one.machine_id}, {format_timestamp(one.start_ms)} to "
        f"{format_timestamp(one.end_ms)} (its high score is {one.high_score:.3g})"
        for one in fit.held_out_blocks
        if one.high_score > _UNLIKE_THE_REST
    ]
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


def false_alarms(learnt: Learnt) -> Block:
    """What the held-out history lets one expect."""
    expected = learnt.expected_alarms()
    alarms = f"{expected.alarms} alarm{'' if expected.alarms == 1 else 's'}"
    lines = [
        f"{expected.row_rate:.2%} of the held-out windows score above 1.0; as alarms: {alarms} in "
        f"{_long(expected.machine_days)}"
    ]
    content = {
        "held_out_rate": expected.row_rate,
        "held_out_alarms": expected.alarms,
        "machine_days": expected.machine_days,
    }
    return Block("false alarms", lines, "false_alarms_expected", content)


def injected_faults(learnt: Learnt) -> Block:
    """What it finds of faults injected into a part of the history that it did not learn from."""
    report = learnt.evaluation
    if isinstance(report, NotEvaluated):
        content: dict[str, Any] = {"not_evaluated": report.reason}
        return Block(_INJECTED, [f"not evaluated: {report.reason}"], "injected_faults", content)
    lines = [_found(result) for result in report.by_kind]
    alarms = f"{report.false_alarms} false alarm{'' if report.false_alarms == 1 else 's'}"
    lines.append(
        f"at the price of {report.false_alarms_per_machine_day:.3g} false alarms per machine-day "
        f"({alarms} in {_long(report.machine_days)})"
    )
    lines.append("measured on the last fifth, by a detector that was fitted without it")
    return Block(_INJECTED, lines, "injected_faults", report.as_dict())


def _found(result: FaultResult) -> str:
    kind = result.kind.replace("_", " ")
    if result.recall is None:
        return f"{kind}: none could be injected"
    delay = "" if result.delay_s is None else f", typically after {result.delay_s:.3g} s"
    return f"{kind}: {result.recall:.0%} of {result.trials} found{delay}"


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
)

_INJECTED = "injected faults"

_UNLIKE_THE_REST = 1.5
_MOST_NAMES = 20


def _long(days: float) -> str:
    return f"{days:.3g} machine-days" if days >= 1 else f"{24 * days:.2g} machine-hours"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _silhouette(number: float) -> str:
    return f"silhouette {number:.3f}" if math.isfinite(number) else "silhouette undefined"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
