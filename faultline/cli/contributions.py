"""Contributions as the commands print them: as objects, and as a table for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from faultline.verdicts import SensorContribution

_HEADER = ("sensor", "share", "observed", "expected", "from", "to", "direction", "health")


def contribution_objects(
    parts: Sequence[SensorContribution], health: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Each sensor's part in a score, with what is wrong with the sensor itself."""
    return [
        {
            "sensor": part.sensor,
            "share": part.share,
            "observed": part.observed,
            "expected": part.expected,
            "expected_low": part.expected_low,
            "expected_high": part.expected_high,
            "direction": part.direction,
            "health": health.get(part.sensor, "ok"),
        }
        for part in parts
    ]


def contribution_table(sensors: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same as lines under a header, numbers to the right."""
    rows = [
        (
            one["sensor"],
            f"{one['share'] * 100:.1f} %",
            f"{one['observed']:.5g}",
            f"{one['expected']:.5g}",
            f"{one['expected_low']:.5g}",
            f"{one['expected_high']:.5g}",
            one["direction"],
            one["health"],
        )
        for one in sensors
    ]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in range(1, 6) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (_HEADER, *rows)
    ]
