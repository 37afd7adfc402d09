"""Hyperparameters as they are asked for, turned into how to fit. It knows no job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec

from faultline.detector.config import FitConfig

NAMES = tuple(field.name for field in fields(FitConfig))

# What is lowest FitConfig knows. Beyond these a fit takes more time or memory than anyone means.
_MOST: Mapping[str, int] = {
    "window_rows": 100_000,
    "max_window_rows": 100_000,
    "default_window_rows": 100_000,
    "max_gap_steps": 1_000_000,
    "k_min": 100,
    "k_max": 100,
    "held_out_blocks": 100,
    "min_rows": 10_000_000,
    "max_cluster_rows": 1_000_000,
    "silhouette_sample_rows": 20_000,
    "seed": 2**32 - 1,
    # The detector keeps it in milliseconds; a century is for ever.
    "settle_after_s": 100 * 365 * 86_400,
}


def fit_config(hyperparameters: Mapping[str, Any]) -> FitConfig:
    """Check hyperparameters, and fill in the defaults of those that are not given.

    Raises
    ------
    ValueError
        Naming the one that is unknown, of the wrong kind or out of its range.

    Examples
    --------
    >>> fit_config({"k_max": 4, "slow_sensors": ["weather"]}).slow_sensors
    ('weather',)
    >>> fit_config({"kmax": 4})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: unknown: kmax; there are false_alarm_rate, window_rows, ...
    """
    unknown = sorted(set(hyperparameters) - set(NAMES))
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for name, most in _MOST.items():
        value = hyperparameters.get(name)
        if isinstance(value, int | float) and value > most:
            raise ValueError(f"{name} must be at most {most}; got {value}")
    try:
        return msgspec.convert(dict(hyperparameters), FitConfig)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise ValueError(f"{path.rstrip('`')}: {text}" if path else text) from None
