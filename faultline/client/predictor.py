"""Asking the predictor which versions judge, and how a challenger does."""

from __future__ import annotations

import msgspec

from faultline.client.service import ServiceClient


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger beside the champion, on the live readings that both have scored.

    Attributes
    ----------
    agreement
        Part of the readings that both or neither call a failure.
    """

    champion_version: str
    challenger_version: str
    readings: int
    agreement: float
    champion_failure_rate: float
    challenger_failure_rate: float
    champion_alarms_per_1000: float
    challenger_alarms_per_1000: float


class PredictorClient(ServiceClient):
    """Speaks to one predictor; a context manager.

    Every method raises `Unavailable` when it does not answer.

    Parameters
    ----------
    url
        Base URL, such as ``http://127.0.0.1:8000``.
    transport
        Another way to carry the requests; None for the network.
    """

    _name = "predictor"

    def live_version(self, machine_type: str) -> str | None:
        """The version that judges a machine type at this moment; None when there is none."""
        models = self._ask("GET", "/api/v1/model", _Models).models
        return next((one.version for one in models if one.machine_type == machine_type), None)

    def comparison(self, machine_type: str, challenger: str) -> Comparison | None:
        """How a challenger does beside the champion; None until a reading has been compared."""
        params = {"machine_type": machine_type}
        found = self._ask("GET", "/api/v1/model/comparison", _Comparisons, params=params)
        pairs = [one.current for one in found.comparisons if one.current is not None]
        pair = next((one for one in pairs if one.challenger_version == challenger), None)
        if pair is None or pair.readings == 0 or pair.agreement is None:
            return None
        return Comparison(
            champion_version=pair.champion_version,
            challenger_version=pair.challenger_version,
            readings=pair.readings,
            agreement=pair.agreement,
            champion_failure_rate=pair.champion.failure_rate or 0.0,
            challenger_failure_rate=pair.challenger.failure_rate or 0.0,
            champion_alarms_per_1000=pair.champion.alarms_per_1000_readings or 0.0,
            challenger_alarms_per_1000=pair.challenger.alarms_per_1000_readings or 0.0,
        )


class _LiveModel(msgspec.Struct, frozen=True):
    machine_type: str
    version: str | None = None


class _Models(msgspec.Struct, frozen=True):
    models: list[_LiveModel]


class _Side(msgspec.Struct, frozen=True):
    failure_rate: float | None
    alarms_per_1000_readings: float | None


class _Pair(msgspec.Struct, frozen=True):
    champion_version: str
    challenger_version: str
    readings: int
    agreement: float | None
    champion: _Side
    challenger: _Side


class _Type(msgspec.Struct, frozen=True):
    current: _Pair | None


class _Comparisons(msgspec.Struct, frozen=True):
    comparisons: list[_Type]
