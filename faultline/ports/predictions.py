"""The record of what was predicted over HTTP, for those who look at predictions in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from faultline.verdicts import Status


@dataclass(frozen=True)
class Prediction:
    """One answer that was given over HTTP.

    Attributes
    ----------
    at_ms
        When it was given, milliseconds since the epoch; `timestamp_ms` is the reading's time.
    machine_id
        Empty where the caller named none.
    inputs
        The reading's sensors; None is a missing value.
    inference_time_ms
        Time to judge it; of several readings in one request, the mean.
    """

    at_ms: int
    machine_id: str
    machine_type: str
    timestamp_ms: int
    inputs: Mapping[str, float | None]
    status: Status
    score: float | None
    cluster: int | None
    inference_time_ms: float
    model_name: str | None
    model_version: str | None

    @property
    def prediction_class(self) -> int | None:
        """1 for a failure, 0 for what is none; None where nothing was scored."""
        return None if self.score is None else int(self.status is Status.FAILURE)


class PredictionLog(Protocol):
    """Keeps predictions. Called from one thread, never from a request's.

    Attributes
    ----------
    most
        So many predictions are taken at once.
    """

    most: int

    def log(self, predictions: Sequence[Prediction]) -> None:
        """Keep predictions, at least one and at most `most`, all or none of them.

        Raises
        ------
        Unavailable
            While there is nowhere to keep them.
        FaultlineError
            When they are refused, and would be again.
        """
