"""What the challenger in the shadow has come to, in words."""

from __future__ import annotations

from faultline.client import Comparison


def comparison_sentence(found: Comparison) -> str:
    """Say how a challenger does beside the champion.

    >>> comparison_sentence(Comparison(champion_version="1", challenger_version="3",
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
