"""What is said of a deviation in words."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.verdicts import SensorContribution

_TOLD_SHARE = 0.1
_MOST_TOLD = 3


def sentence(machine_id: str, contributions: Sequence[SensorContribution]) -> str:
    """Say which sensors deviate, the largest part first.

    Those with a tenth of the deviation, three at most; the first in any case.

    >>> sentence("pump-07", [SensorContribution("heat", 0.7, 71.26, 58.0, "high"),
    ...                      SensorContribution("flow", 0.3, 9.1, 9.8, "low")])
    'pump-07: heat 71.26, expected 58 (70 % of the deviation); flow low (30 %)'
    """
    if not contributions:
        return f"{machine_id}: no sensor can be told apart"
    first, *others = contributions[:_MOST_TOLD]
    told = [
        f"{first.sensor} {first.observed:.4g}, expected {first.expected:.4g} "
        f"({first.share:.0%} of the deviation)".replace("%", " %")
    ]
    told += [
        f"{other.sensor} {other.direction} ({other.share * 100:.0f} %)"
        for other in others
        if other.share >= _TOLD_SHARE
    ]
    return f"{machine_id}: {'; '.join(told)}"
