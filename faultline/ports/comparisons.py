"""Comparisons of challengers with champions, kept by the recorder: what the gate may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from faultline.comparisons import Comparison, Pair


class ComparisonStore(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def comparisons(self, model_name: str | None = None) -> Sequence[Comparison]:
        """All pairs of a model, of all models when None, each summed over all replicas.

        The pair compared last comes first. What was counted `comparisons.KEPT_MS` before a model's
        latest counts is gone once there are such.
        """

    def comparison(self, pair: Pair) -> Comparison | None:
        """One pair, summed over all replicas; None when no reading was compared.

        Of several that differ in a sum that is not asked for, the one compared last.
        """
