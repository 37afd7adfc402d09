"""F1, false and missed alarm rate: rows counted by label and prediction, and pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.recordings import Mask


@dataclass(frozen=True)
class Confusion:
    """Rows counted by label and prediction; counts of several recordings add up."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    true_negatives: int = 0

    @classmethod
    def of(cls, predicted: Mask, actual: Mask) -> Confusion:
        """Count the rows; both have the shape (n,)."""
        return cls(
            int((predicted & actual).sum()),
            int((predicted & ~actual).sum()),
            int((~predicted & actual).sum()),
            int((~predicted & ~actual).sum()),
        )

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.true_negatives + other.true_negatives,
        )

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 0 where nothing was found."""
        doubled = 2 * self.true_positives
        wrong = self.false_positives + self.false_negatives
        return doubled / (doubled + wrong) if doubled else 0.0

    @property
    def far_percent(self) -> float:
        """False alarm rate: false positives in 100 normal rows; NaN without normal rows."""
        return _percent(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def mar_percent(self) -> float:
        """Missed alarm rate: false negatives in 100 faulty rows; NaN without faulty rows."""
        return _percent(self.false_negatives, self.false_negatives + self.true_positives)


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else float("nan")


NOTHING = Confusion()


@dataclass(frozen=True)
class Figures:
    """One method's counts: of rows above its threshold, and of rows with an alarm open."""

    rows: Confusion = NOTHING
    alarms: Confusion = NOTHING

    def __add__(self, other: Figures) -> Figures:
        return Figures(self.rows + other.rows, self.alarms + other.alarms)


ByGroup = Mapping[str, Figures]
"""Figures per group of files."""


def pooled(by_group: ByGroup) -> Figures:
    """Add up the rows of all groups."""
    return sum(by_group.values(), Figures())


def cells(confusion: Confusion) -> list[str]:
    """F1, false and missed alarm rate as text."""
    return [f"{confusion.f1:.3f}", f"{confusion.far_percent:.2f}", f"{confusion.mar_percent:.2f}"]


def difference(before: Confusion, after: Confusion) -> list[str]:
    """How much F1, false and missed alarm rate grew, as text."""
    return [
        f"{after.f1 - before.f1:+.3f}",
        f"{after.far_percent - before.far_percent:+.2f}",
        f"{after.mar_percent - before.mar_percent:+.2f}",
    ]


def as_json(results: Mapping[str, ByGroup]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Figures per method and group, with the pooled ones as the group `all`."""
    return {
        name: {
            group: {
                kind: {
                    "f1": confusion.f1,
                    "far_percent": confusion.far_percent,
                    "mar_percent": confusion.mar_percent,
                }
                for kind, confusion in (("rows", counted.rows), ("alarm", counted.alarms))
            }
            for group, counted in {**by_group, "all": pooled(by_group)}.items()
        }
        for name, by_group in results.items()
    }
