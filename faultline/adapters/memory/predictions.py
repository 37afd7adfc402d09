"""The prediction log in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.ports.predictions import Prediction


class MemoryPredictionLog:
    """Keeps every prediction in `kept`.

    Attributes
    ----------
    trouble
        Raised in place of keeping anything.
    """

    def __init__(self, most: int = 1_000) -> None:
        self.most = most
        self.kept: list[Prediction] = []
        self.trouble: Exception | None = None

    def log(self, predictions: Sequence[Prediction]) -> None:
        """Keep predictions; see the port."""
        if self.trouble is not None:
            raise self.trouble
        self.kept += predictions
