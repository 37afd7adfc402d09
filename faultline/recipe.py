"""The recipe of a model version: which rows, which settings, which libraries.

Beside the rows themselves it is all that the same arrays can be made from again.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec

from faultline.errors import InvalidBundle
from faultline.left_out import LeftOut
from faultline.ports.stores import HistoryQuery

FOLDER = "dataset"
"""Of a run's artifacts, with these two files; without the rows, when there are too many."""

RECIPE = "recipe.json"
ROWS = "readings.parquet"

_SCHEMA_VERSION = 1
_PACKAGES = ("faultline", "numpy", "scipy", "scikit-learn")


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How a version came about.

    Attributes
    ----------
    stored
        ``rows``: they lie beside the recipe, in `ROWS`. ``reference``: they are read again from the
        database by `query`, less `left_out`.
    query
        What was asked for, its time range that of the rows that were found.
    data_version
        The hash of the rows; see `faultline.data_version`.
    sensors
        The columns of the rows.
    machines
        How many rows there are of each.
    fit
        The fields of `faultline.detector.config.FitConfig`.
    threads
        That the numeric libraries were allowed.
    environment
        See `environment`.
    """

    stored: Literal["rows", "reference"]
    query: HistoryQuery
    left_out: tuple[LeftOut, ...]
    left_out_rows: int
    data_version: str
    sensors: tuple[str, ...]
    machines: dict[str, int]
    fit: dict[str, Any]
    threads: int
    environment: dict[str, str]
    schema_version: int = _SCHEMA_VERSION


def environment() -> dict[str, str]:
    """What may make the same fit come out otherwise: versions, and where the numbers are made."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped] # noqa: PLC0415

    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    blas = {
        f"{one['internal_api']} {one['version']} ({one.get('architecture', 'unknown')})"
        for one in threadpool_info()
        if one["user_api"] == "blas"
    }
    if blas:
        found["blas"] = ", ".join(sorted(blas))
    return found


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write it as JSON that a person can read."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(recipe), indent=2) + b"\n")


def read_recipe(path: Path) -> Recipe:
    """Read what `write_recipe` wrote; raises `InvalidBundle` when it is not that."""
    try:
        recipe = msgspec.json.decode(path.read_bytes(), type=Recipe)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBundle(f"{path.name}: {error}") from error
    if recipe.schema_version != _SCHEMA_VERSION:
        raise InvalidBundle(
            f"{path.name}: schema version {recipe.schema_version}; this Faultline reads "
            f"{_SCHEMA_VERSION}"
        )
    return recipe
