"""Events about models: what happened to a version. The values of `model.events`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ModelEventKind(StrEnum):
    """What happened to a version. `superseded`: another took its place as the challenger."""

    REGISTERED = "registered"
    PROMOTED = "promoted"
    ARCHIVED = "archived"
    ROLLED_BACK = "rolled_back"
    GATE_PASSED = "gate_passed"
    GATE_REFUSED = "gate_refused"
    SUPERSEDED = "superseded"
    LOAD_REFUSED = "load_refused"


class ModelEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What happened to which version, when, through whom and why.

    Attributes
    ----------
    event_id
        Unique; a repeated event changes nothing.
    at_ms
        Milliseconds since the epoch.
    previous_version
        For `promoted` and `rolled_back`: the version that was in Production before.
    actor
        Who asked: ``gate``, ``api``, a user's name.
    """

    event_id: str
    kind: ModelEventKind
    model_name: str
    model_version: str
    at_ms: int
    actor: str
    reason: str = ""
    previous_version: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ModelEvent)


def encode(event: ModelEvent) -> bytes:
    """Encode as UTF-8 JSON."""
    return _encoder.encode(event)


def decode(value: bytes) -> ModelEvent:
    """Decode a message of `model.events`; raises `msgspec.DecodeError` when it is not one."""
    return _decoder.decode(value)


def model_name(machine_type: str) -> str:
    """Name of the registered model that judges a machine type.

    >>> model_name("pump")
    'faultline-pump'
    """
    return f"faultline-{machine_type}"


def machine_type_of(name: str) -> str:
    """The machine type that a registered model judges; the inverse of `model_name`.

    >>> machine_type_of("faultline-pump")
    'pump'
    """
    return name.removeprefix("faultline-")
