"""The predictor's settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator

from faultline.events import model_name
from faultline.settings import (
    AlarmSettings,
    DatabaseSettings,
    KafkaSettings,
    RegistrySettings,
    ServiceSettings,
    TracingSettings,
)
from services.predictor.drift_onset import DriftLimits, DriftPolicy

_MACHINE_TYPE = re.compile(r"[a-z0-9_-]{1,63}")


class PredictionLogging(StrEnum):
    """How predictions made over HTTP are logged to MLflow."""

    OFF = "off"
    TABLE = "table"
    RUN = "run"


def parse_bundles(text: str) -> dict[str, Path]:
    """Folders by model name, as a setting has them.

    Raises
    ------
    ValueError
        Says what is wrong with which part.

    Examples
    --------
    >>> sorted(parse_bundles("pump=/models/pump; valve=valve"))
    ['faultline-pump', 'faultline-valve']
    """
    folders: dict[str, Path] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        machine_type, named, folder = (side.strip() for side in part.partition("="))
        if not (named and folder):
            raise ValueError(f"{part!r} must be TYPE=FOLDER")
        if not _MACHINE_TYPE.fullmatch(machine_type):
            raise ValueError(f"{machine_type!r} is no machine type, in {part!r}")
        name = model_name(machine_type)
        if name in folders:
            raise ValueError(f"machine type {machine_type!r} has two bundles")
        folders[name] = Path(folder)
    return folders


class PredictorSettings(
    ServiceSettings,
    TracingSettings,
    KafkaSettings,
    DatabaseSettings,
    RegistrySettings,
    AlarmSettings,
):
    """Where the predictor listens, how it follows models, how it works through the stream."""

    predictor_port: int = Field(8000, ge=1, le=65535, description="The predictor's HTTP port.")
    state_dir: Path = Field(
        Path(".faultline/state"),
        description="Folder of the services' own state; the predictor keeps its last good models "
        "in `bundles`.",
    )
    predictor_bundles: str | None = Field(
        None,
        description="Bundles to judge by in place of the versions in MLflow, which is not asked "
        "then: `TYPE=FOLDER`, several separated by semicolons. Each folder is one that "
        "`faultline fit --model` wrote, or a downloaded version's `model`. What is put in its "
        "place is followed, as a version that is promoted.",
    )
    predictor_model_poll_s: float = Field(
        2.0,
        gt=0,
        description="Seconds between two looks at the aliases `production`; events on "
        "`model.events` are followed at once.",
    )
    predictor_model_retry_s: float = Field(
        300.0,
        gt=0,
        description="Seconds after which a version that was refused is tried again, if it is "
        "still in Production.",
    )
    predictor_batch_messages: int = Field(
        500, ge=1, description="Messages of `sensor.readings` judged at once, at most."
    )
    predictor_checkpoint_s: float = Field(
        1.0,
        ge=0,
        description="Seconds between two checkpoints (snapshots and committed offsets). After a "
        "crash the readings since the last one are judged again.",
    )
    predictor_retry_s: float = Field(
        1.0, gt=0, description="Seconds to wait after the broker could not be reached."
    )
    predictor_request_bytes: int = Field(
        8 * 1024 * 1024, ge=1024, description="Largest body of a request to predict."
    )
    predictor_ab_share: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Part of the machines that the challenger (the version in Staging, unless the "
        "gate refused it) answers, by a hash of the machine's id; every verdict names its version.",
    )
    predictor_challenger_queue_readings: int = Field(
        200_000,
        ge=1,
        description="Readings that wait to be scored by the challenger in the shadow, at most; "
        "further ones are dropped and counted. One of more than 64 sensors counts for several, and "
        "so does the window before it: about 500 bytes each.",
    )
    predictor_comparison_s: float = Field(
        5.0,
        gt=0,
        description="Seconds between two messages on `model.comparisons` about how it does.",
    )
    predictor_log_predictions: PredictionLogging = Field(
        PredictionLogging.OFF,
        description="Log what is predicted over HTTP to MLflow's experiment "
        "`faultline-predictions`: `off`; `table`, batches as artifacts; `run`, a run for each "
        "prediction, which takes MLflow three requests.",
    )
    predictor_log_predictions_queue: int = Field(
        10_000,
        ge=1,
        description="Predictions that wait to be logged, at most; further ones are dropped and "
        "counted.",
    )
    predictor_log_predictions_every_s: float = Field(
        10.0, ge=0, description="In table mode, a batch that is not full waits so long for more."
    )
    predictor_drift_window_s: float = Field(
        86_400.0,
        gt=0,
        description="Seconds of readings, by their own time, that are compared with those a "
        "version was trained on.",
    )
    predictor_drift_rows: int = Field(
        20_000,
        ge=100,
        description="Readings kept for that of a machine type, evenly spread over the time and "
        "the machines.",
    )
    predictor_drift_poll_s: float = Field(
        60.0, gt=0, description="Seconds between two looks for drift."
    )
    predictor_drift_cooldown_s: float = Field(
        21_600.0,
        ge=0,
        description="Seconds between two events on `drift.events` about a machine type, at least.",
    )
    predictor_drift_distance: float = Field(
        0.3,
        gt=0,
        le=1,
        description="From this distance on it is drift: the Kolmogorov-Smirnov statistic of a "
        "sensor (0.3 is a shift by 0.8 standard deviations), the Jensen-Shannon distance of the "
        "clusters' shares and of the scores. It ends below two thirds of it.",
    )
    predictor_drift_level: float = Field(
        0.25,
        gt=0,
        description="From this difference of the median scores on it is drift; 1 is the boundary.",
    )

    @field_validator("predictor_bundles")
    @classmethod
    def _check_bundles(cls, text: str | None) -> str | None:
        parse_bundles(text or "")
        return text

    def bundles(self) -> Mapping[str, Path]:
        """The folders of the bundles that are given, by model name; empty when none is."""
        return parse_bundles(self.predictor_bundles or "")

    @property
    def shelf_folder(self) -> Path:
        """Where last good bundles are kept: those that were given apart from MLflow's."""
        return self.state_dir / ("given-bundles" if self.predictor_bundles else "bundles")

    def drift_policy(self) -> DriftPolicy:
        """What is sampled for drift, and what is drift."""
        return DriftPolicy(
            window_s=self.predictor_drift_window_s,
            rows=self.predictor_drift_rows,
            poll_s=self.predictor_drift_poll_s,
            cooldown_s=self.predictor_drift_cooldown_s,
            limits=DriftLimits(self.predictor_drift_distance, self.predictor_drift_level),
        )
