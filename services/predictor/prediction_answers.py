"""The answer to a request to predict. Times are RFC 3339 in UTC.

Predictions may be many: they are built and encoded by msgspec, and the models of pydantic document
them only; a test holds one against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from pydantic import BaseModel, Field

from faultline.readings import format_timestamp
from faultline.verdicts import SensorContribution, Status
from services.predictor.answers import VerdictAnswer, why_of
from services.predictor.fleet import Judged


class Prediction(VerdictAnswer):
    """The verdict on a reading that was sent to be judged."""

    machine_id: str = Field(examples=["pump-07"])
    machine_type: str = Field(examples=["pump"])


class Predictions(BaseModel):
    """One verdict per reading, in the order in which they were sent."""

    predictions: list[Prediction]


class _PredictionOnTheWire(msgspec.Struct):
    machine_id: str
    machine_type: str
    timestamp: str
    status: Status
    score: float | None
    cluster: int | None
    known: bool
    reason: str | None
    why: str | None
    contributions: tuple[SensorContribution, ...]
    health: dict[str, str]
    model_name: str | None
    model_version: str | None


class _PredictionsOnTheWire(msgspec.Struct):
    predictions: list[_PredictionOnTheWire]


_encoder = msgspec.json.Encoder()


def encode_predictions(judged: Sequence[Judged], absence: Callable[[str], str]) -> bytes:
    """Encode a `Predictions` as UTF-8 JSON.

    Parameters
    ----------
    absence
        Tells of a machine type why it has no model.
    """
    return _encoder.encode(
        _PredictionsOnTheWire(
            [
                _PredictionOnTheWire(
                    machine_id=reading.machine_id,
                    machine_type=reading.machine_type,
                    timestamp=format_timestamp(reading.timestamp_ms),
                    status=verdict.status,
                    score=verdict.score,
                    cluster=verdict.cluster,
                    known=verdict.known,
                    reason=verdict.reason,
                    why=absence(reading.machine_type)
                    if model is None
                    else why_of(reading.machine_id, verdict),
                    contributions=verdict.contributions,
                    health=verdict.health,
                    model_name=None if model is None else model.name,
                    model_version=None if model is None else model.version,
                )
                for reading, verdict, model in judged
            ]
        )
    )
