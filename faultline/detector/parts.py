"""Reads the parts of a stored detector, JSON scalars and arrays, and refuses what has another kind.

It must not know what the parts mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")
Parameter = int | float | str | list[str]

# A wrong kind here is altered data and not a wrong call, hence ValueError.
# ruff: noqa: TRY004


def names(parameters: Mapping[str, Parameter], name: str) -> tuple[str, ...]:
    """Take a list of texts; ValueError when it is anything else."""
    value = _part(parameters, name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} must be a list of names; got {value!r}")
    return tuple(value)


def whole(parameters: Mapping[str, Parameter], name: str) -> int:
    """Take a whole number; ValueError when it is anything else.

    >>> whole({"window_rows": 60}, "window_rows")
    60
    """
    value = _part(parameters, name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number; got {value!r}")
    return value


def number(parameters: Mapping[str, Parameter], name: str) -> float:
    """Take a number; ValueError when it is anything else."""
    value = _part(parameters, name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number; got {value!r}")
    return float(value)


def floats(arrays: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """Take an array of float64; ValueError when it is anything else."""
    array = _part(arrays, name)
    if array.dtype != np.float64:
        raise ValueError(f"{name} must be an array of float64; got {array.dtype}")
    return array


def wholes(arrays: Mapping[str, NDArray[np.float64]], name: str) -> NDArray[np.int64]:
    """Take an array of whole numbers that is stored as float64; ValueError when it is none."""
    array = floats(arrays, name)
    numbers = np.nan_to_num(array).astype(np.int64)
    if not np.array_equal(numbers, array):
        raise ValueError(f"{name} must hold whole numbers")
    return numbers


def _part(parts: Mapping[str, _T], name: str) -> _T:
    try:
        return parts[name]
    except KeyError:
        raise ValueError(f"the detector's part {name!r} is absent") from None
