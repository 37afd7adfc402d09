"""What callers of the trainer send, checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from faultline.errors import InvalidReading
from faultline.ports.jobs import Period, TrainingRequest
from faultline.ports.registry import Stage
from faultline.readings import parse_timestamp
from services.trainer.hyperparameters import NAMES, fit_config

_MOST_MACHINES = 10_000
_MOST_SENSORS = 1_024
_MOST_PERIODS = 1_000


def to_ms(value: object) -> int:
    """Milliseconds since the epoch of what a caller calls a time; ValueError when it is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is neither RFC 3339 nor epoch milliseconds")  # noqa: TRY004
    try:
        return parse_timestamp(value)
    except InvalidReading as error:
        raise ValueError(str(error).removeprefix("timestamp: ")) from None


Time = Annotated[
    int,
    BeforeValidator(to_ms),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "string", "format": "date-time"},
                {"type": "integer", "minimum": 0},
            ],
            "description": "RFC 3339 (in UTC without a zone) or epoch milliseconds.",
            "examples": ["2026-11-21T08:00:00Z"],
        }
    ),
]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain NUL, which the database cannot keep")
    return text


# Refused where it comes in: a row that cannot be written after the alias has moved is too late.
Text = Annotated[str, AfterValidator(_without_nul)]
Name = Annotated[Text, Field(min_length=1, max_length=128)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PeriodRequest(_Request):
    """A span of time, start included, end excluded."""

    start: Time
    end: Time

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _require_order(self.start, self.end)
        return self


class TrainRequest(_Request):
    """What to train on, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "machine_type": "pump",
                    "start": "2026-11-14T00:00:00Z",
                    "end": "2026-11-21T00:00:00Z",
                    "excluded": [{"start": "2026-11-17T06:00:00Z", "end": "2026-11-17T09:30:00Z"}],
                    "hyperparameters": {"false_alarm_rate": 0.001},
                    "promotion": "auto",
                }
            ]
        }
    )

    machine_type: str = Field(
        pattern=r"^[a-z0-9_-]{1,63}$",
        description="Whose history to learn from.",
        examples=["pump"],
    )
    start: Time | None = Field(None, description="Begin of the history; open when left out.")
    end: Time | None = Field(
        None, description="End of the history, itself left out; open when left out."
    )
    machines: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=_MOST_MACHINES,
        description="Machines to learn from; all of the type when left out.",
        examples=[["pump-01", "pump-02"]],
    )
    sensors: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=_MOST_SENSORS,
        description="Sensors to use; all when left out.",
        examples=[["pressure", "vibration"]],
    )
    excluded: list[PeriodRequest] = Field(
        [],
        max_length=_MOST_PERIODS,
        description="Periods to leave out: known faults, maintenance.",
    )
    dataset_version: str | None = Field(
        None,
        pattern=r"^([0-9]{1,9}|[0-9a-f]{12,64})$",
        description="Train on the rows of an earlier version of the model again, and not on the "
        "history as it is now: the version's number, or 12 or more digits of its `data_version`. "
        "Leaves no choice of time range, machines, sensors and excluded periods.",
        examples=["3"],
    )
    hyperparameters: dict[str, Any] = Field(
        {},
        description=f"How to fit, where it should differ from the defaults: {', '.join(NAMES)}.",
        examples=[{"false_alarm_rate": 0.001, "k_max": 6, "slow_sensors": ["outside_air"]}],
    )
    promotion: Literal["auto", "hold"] = Field(
        "auto",
        description="`auto`: into Production when the gate passes. `hold`: stays in Staging.",
    )
    repeat: bool = Field(
        False,
        description="Make a version also where one has learnt the same rows with the same settings "
        "and by the same code. Otherwise the job ends with that version, as `unchanged`.",
    )
    requested_by: Text = Field(
        "api", min_length=1, max_length=128, description="Who asks; kept with the version."
    )

    @field_validator("hyperparameters")
    @classmethod
    def _known(cls, given: dict[str, Any]) -> dict[str, Any]:
        fit_config(given)
        return given

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start is not None and self.end is not None:
            _require_order(self.start, self.end)
        return self

    @model_validator(mode="after")
    def _rows_chosen_once(self) -> Self:
        chosen = (self.start, self.end, self.machines, self.sensors, self.excluded or None)
        if self.dataset_version is not None and chosen != (None,) * len(chosen):
            raise ValueError(
                "dataset_version names the rows; leave out start, end, machines, sensors and "
                "excluded"
            )
        return self

    def to_job(self, idempotency_key: str | None = None) -> TrainingRequest:
        """The same for the queue."""
        return TrainingRequest(
            machine_type=self.machine_type,
            start_ms=self.start,
            end_ms=self.end,
            machines=None if self.machines is None else tuple(dict.fromkeys(self.machines)),
            sensors=None if self.sensors is None else tuple(dict.fromkeys(self.sensors)),
            excluded=tuple(Period(period.start, period.end) for period in self.excluded),
            dataset_version=self.dataset_version,
            hyperparameters=self.hyperparameters,
            promotion=self.promotion,
            repeat=self.repeat,
            idempotency_key=idempotency_key,
            requested_by=self.requested_by,
        )


class PromoteRequest(_Request):
    """Where to move a version, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"stage": "Production", "reason": "compared for a week, fewer alarms"}]
        }
    )

    stage: Stage = Field(
        Stage.PRODUCTION,
        description="`Production` archives the version that is there. A version in Production "
        "leaves it only by another taking its place.",
    )
    reason: Text = Field("", max_length=2_000, description="Kept in the history.")
    force: bool = Field(
        False,
        description="Put it into Production although the gate has not passed it; needs a reason.",
    )
    requested_by: Text = Field(
        "api", min_length=1, max_length=128, description="Who asks; kept in the history."
    )

    @model_validator(mode="after")
    def _forced_with_a_reason(self) -> Self:
        if self.force and not self.reason.strip():
            raise ValueError("force needs a reason")
        return self


class RollbackRequest(_Request):
    """Which version to go back to, and why."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "2", "reason": "version 3 cries wolf"}]}
    )

    to: Text | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="A version that was in Production before, or an earlier one that the gate has "
        "passed. Null: the one that was there before the present one; asked for again it goes "
        "back further, so name a version where a request may be repeated.",
    )
    reason: Text = Field(max_length=2_000, description="Kept in the history; needed.")
    requested_by: Text = Field(
        "api", min_length=1, max_length=128, description="Who asks; kept in the history."
    )

    @field_validator("reason")
    @classmethod
    def _said(cls, reason: str) -> str:
        if not reason.strip():
            raise ValueError("a rollback needs a reason")
        return reason


def _require_order(start_ms: int, end_ms: int) -> None:
    if start_ms >= end_ms:
        raise ValueError("end must be later than start")
