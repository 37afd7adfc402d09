"""Makes a registered version again: its rows recalled, its detector refitted and compared.

It knows the registry and the store by their ports. Refitting needs scikit-learn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from faultline.bundle import read_bundle
from faultline.data_version import data_version
from faultline.detector import Detector, MachineHistory
from faultline.detector.config import FitConfig
from faultline.detector.fit import fit
from faultline.errors import InvalidBundle, NotFound
from faultline.left_out import leave_out
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.ports.stores import FleetStore
from faultline.recipe import FOLDER, RECIPE, ROWS, Recipe, environment, read_recipe
from faultline.rows import take
from faultline.snapshot import read_rows

MAX_DOWNLOAD_BYTES = 16 * 1024**3


class Recalled(NamedTuple):
    """A version's rows, as they were when it was trained: their hash is the recorded one."""

    recipe: Recipe
    histories: tuple[MachineHistory, ...]


def recall(
    registry: ModelRegistry,
    version: ModelVersion,
    store: Callable[[], FleetStore],
    *,
    max_rows: int | None = None,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
) -> Recalled:
    """Bring back the rows that a version was trained on.

    Parameters
    ----------
    store
        Called when the version has its rows by reference only.
    max_rows
        At most; None is any number.
    max_bytes
        To download, at most.

    Raises
    ------
    NotFound
        When the version was registered without a recipe, or its rows are not all there any more.
    InvalidBundle
        When the files are not what was written, or too large.
    Unavailable
        While the registry or the store is down.
    """
    what = f"{version.name} version {version.version}"
    with tempfile.TemporaryDirectory(prefix="faultline-dataset-") as folder:
        try:
            registry.download_artifacts(version.run_id, FOLDER, Path(folder), max_bytes)
        except NotFound as error:
            raise NotFound(f"{what} has no record of what it was trained on ({error})") from error
        recipe = read_recipe(Path(folder) / RECIPE)
        if recipe.stored == "rows":
            histories = read_rows(Path(folder) / ROWS, recipe.sensors, max_rows)
        else:
            histories = _from_store(recipe, store(), max_rows)
    found = data_version(recipe.sensors, histories)
    if found != recipe.data_version:
        if recipe.stored == "rows":
            raise InvalidBundle(
                f"the snapshot of {what} has the hash {found}, recorded is "
                f"{recipe.data_version}; it was altered"
            )
        raise NotFound(
            f"{what} has its rows by reference, and the database does not give the same any more: "
            f"their hash is {found}, recorded is {recipe.data_version}"
        )
    return Recalled(recipe, histories)


def _from_store(
    recipe: Recipe, store: FleetStore, max_rows: int | None
) -> tuple[MachineHistory, ...]:
    if max_rows is not None and sum(recipe.machines.values()) > max_rows:
        raise InvalidBundle(
            f"{RECIPE}: refers to {sum(recipe.machines.values())} rows, at most {max_rows} are read"
        )
    # What was left out was read too, and within the same bound.
    query = replace(recipe.query, max_rows=None if max_rows is None else max_rows + 1)
    remaining, _ = leave_out(list(store.history(query)), recipe.left_out)
    return tuple(
        MachineHistory(
            machine.machine_id,
            machine.timestamps_ms,
            np.ascontiguousarray(take(machine.sensors, machine.values, recipe.sensors)),
        )
        for machine in remaining
    )


@dataclass(frozen=True)
class ArrayComparison:
    """One array of the version beside the same of the refit.

    Attributes
    ----------
    equal
        Bit for bit, and of the same shape.
    largest_difference
        In size; None where the shapes differ or there is nothing to compare.
    """

    equal: bool
    largest_difference: float | None


@dataclass(frozen=True)
class Reproduction:
    """What came of making a version again.

    Attributes
    ----------
    arrays
        By name, every one that either has.
    parameters
        Name to what is registered and what the refit has, where they differ.
    environment
        Name to what was recorded and what is here, where they differ.
    """

    recipe: Recipe
    arrays: Mapping[str, ArrayComparison]
    parameters: Mapping[str, tuple[Any, Any]]
    environment: Mapping[str, tuple[str | None, str | None]]

    @property
    def equal(self) -> bool:
        """Whether everything came out the same."""
        return not self.parameters and all(array.equal for array in self.arrays.values())


def reproduce(
    registry: ModelRegistry, name: str, version: str, store: Callable[[], FleetStore]
) -> Reproduction:
    """Refit a version to its rows, by its recorded settings, and compare.

    Raises
    ------
    NotFound, InvalidBundle, Unavailable
        As `recall`, and when the bundle itself is not what was registered.
    UnfitHistory
        When its rows cannot be fitted any more.
    """
    registered = registry.version(name, version)
    with tempfile.TemporaryDirectory(prefix="faultline-model-") as folder:
        detector = read_bundle(registry.download(name, version, Path(folder))).detector
    recalled = recall(registry, registered, store)
    recipe = recalled.recipe
    try:
        config = msgspec.convert(recipe.fit, FitConfig)
    except msgspec.ValidationError as error:
        raise InvalidBundle(f"{RECIPE}: fit: {error}") from error
    with threadpool_limits(limits=recipe.threads):
        again = fit(recipe.sensors, recalled.histories, config).detector
    return Reproduction(
        recipe,
        compare_arrays(detector.to_arrays(), again.to_arrays()),
        _differing_parameters(detector, again),
        _differing(recipe.environment, environment()),
    )


def compare_arrays(
    registered: Mapping[str, NDArray[Any]], again: Mapping[str, NDArray[Any]]
) -> dict[str, ArrayComparison]:
    """Compare arrays by name, bit for bit."""
    compared: dict[str, ArrayComparison] = {}
    for name in sorted({*registered, *again}):
        one, other = registered.get(name), again.get(name)
        if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
            compared[name] = ArrayComparison(equal=False, largest_difference=None)
            continue
        with np.errstate(all="ignore"):
            difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
        finite = difference[np.isfinite(difference)]
        compared[name] = ArrayComparison(
            equal=one.tobytes() == other.tobytes(),
            largest_difference=float(finite.max()) if finite.size else None,
        )
    return compared


def _differing_parameters(one: Detector, other: Detector) -> dict[str, tuple[Any, Any]]:
    return _differing(one.parameters(), other.parameters())


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    }
