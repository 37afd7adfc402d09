"""What the challenger in the shadow has come to, as the predictor tells it."""

from __future__ import annotations

import msgspec

from faultline.client import PredictorClient
from faultline.demo.lifecycle import ComparisonReport


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


class ShadowClient(PredictorClient):
    """A predictor that is also asked how the challenger does."""

    def comparison(self, machine_type: str, challenger: str) -> ComparisonReport | None:
        """How a challenger does beside the champion; None until a reading has been compared."""
        found = self._ask(
            "GET",
            "/api/v1/model/comparison",
            _Comparisons,
            params={"machine_type": machine_type},
        )
        pairs = [one.current for one in found.comparisons if one.current is not None]
        pair = next((one for one in pairs if one.challenger_version == challenger), None)
        if pair is None or pair.readings == 0 or pair.agreement is None:
            return None
        return ComparisonReport(
            champion_version=pair.champion_version,
            challenger_version=pair.challenger_version,
            readings=pair.readings,
            agreement=pair.agreement,
            champion_failure_rate=pair.champion.failure_rate or 0.0,
            challenger_failure_rate=pair.challenger.failure_rate or 0.0,
            champion_alarms_per_1000=pair.champion.alarms_per_1000_readings or 0.0,
            challenger_alarms_per_1000=pair.challenger.alarms_per_1000_readings or 0.0,
        )


def comparison_sentence(found: ComparisonReport) -> str:
    """Say how a challenger does beside the champion.

    >>> comparison_sentence(ComparisonReport(champion_version="1", challenger_version="3",
    ...     readings=1_200, agreement=0.995, champion_failure_rate=0.01,
    ...     challenger_failure_rate=0.005, champion_alarms_per_1000=2.5,
    ...     challenger_alarms_per_1000=0.0))  # doctest: +NORMALIZE_WHITESPACE
    'version 3 in the shadow of version 1: 1,200 readings scored by both, 99.50% agreement;
    failures 0.50% (version 1: 1.00%), alarms per 1,000 readings 0.00 (version 1: 2.50)'
    """
    champion = found.champion_version
    return (
        f"version {found.challenger_version} in the shadow of version {champion}: "
        f"{found.readings:,} readings scored by both, {found.agreement:.2%} agreement; failures "
        f"{found.challenger_failure_rate:.2%} (version {champion}: "
        f"{found.champion_failure_rate:.2%}), alarms per 1,000 readings "
        f"{found.challenger_alarms_per_1000:.2f} (version {champion}: "
        f"{found.champion_alarms_per_1000:.2f})"
    )
