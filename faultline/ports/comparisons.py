"""Comparisons of challengers with champions, kept by the recorder: what the gate may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from faultline.comparisons import Comparison


class ComparisonStore(Protocol):
    """Every method raises `Unavailable` while the store is down."""

    def comparisons(self, model_name: str | None = None) -> Sequence[Comparison]:
        """All pairs of a model, of all models when None, each summed over all replicas.

        The pair compared last comes first.
        """

    def comparison(
        self, model_name: str, champion_version: str, challenger_version: str
    ) -> Comparison | None:
        """One pair, summed over all replicas; None when no reading was compared."""
