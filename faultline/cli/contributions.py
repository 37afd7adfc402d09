"""Contributions as the commands print them: as objects, and as a table for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from faultline.verdicts import SensorContribution, Status, Verdict

_HEADER = ("sensor", "share", "observed", "expected", "from", "to", "direction", "health")

_NUMBERS = ("observed", "expected", "expected_low", "expected_high")


def told_apart(numbers: Sequence[float]) -> list[str]:
    """Write numbers with five digits, or as many more as it takes to see that they differ.

    >>> told_apart([61.1441, 70.34]), told_apart([1_013_250.25, 1_013_249.75])
    (['61.144', '70.34'], ['1013250.2', '1013249.8'])
    """
    for digits in range(5, 13):
        written = [_plain(number, digits) for number in numbers]
        if len(set(written)) == len(set(numbers)):
            break
    return written


def _plain(number: float, digits: int) -> str:
    text = f"{number:.{digits}g}"
    # Of large numbers all digits before the point, instead of a power of ten.
    return f"{number:.0f}" if "e+" in text and abs(number) < 1e12 else text


def in_a_sentence(machine_id: str, verdict: Verdict) -> str:
    """Say which sensors made a score; of a normal one, that nothing is wrong."""
    from faultline.detector import sentence  # noqa: PLC0415 - a quick --help

    said = sentence(machine_id, verdict.contributions)
    if verdict.status is not Status.NORMAL or not verdict.contributions:
        return said
    nearest = said.removeprefix(f"{machine_id}: ")
    return f"{machine_id}: within what is expected; nearest to the limit: {nearest}"


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
            *told_apart([one[name] for name in _NUMBERS]),
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
