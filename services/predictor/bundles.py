"""Fetches bundles and verifies them: from the registry, or from the shelf where they are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from faultline.bundle import read_bundle
from faultline.errors import InvalidBundle
from faultline.events import machine_type_of
from faultline.judge import Model
from faultline.ports.clock import Clock
from faultline.ports.registry import ModelVersion, ProductionModels
from faultline.telemetry import logger
from services.predictor.contest import GATE_TAG
from services.predictor.shelf import BundleShelf
from services.predictor.slot import Loaded, Origin

log = logger(__name__)

SUM_TAG = "bundle_sha256"
"""Version tag with the sum of the bundle's manifest, as the trainer registered it."""
_MODEL_NAME = re.compile(r"faultline-[a-z0-9_-]{1,63}")
# A number in MLflow, the begin of a sum where it is a folder: never a path.
_VERSION = re.compile(r"[0-9a-f]{1,18}")


def is_model_name(name: str) -> bool:
    """Whether a machine type can have it; any other is not ours, whatever its prefix."""
    return _MODEL_NAME.fullmatch(name) is not None


class Bundles:
    """Gets versions ready to judge: verified, warm, and on the shelf."""

    def __init__(self, registry: ProductionModels, shelf: BundleShelf, clock: Clock) -> None:
        self._registry = registry
        self._shelf = shelf
        self._clock = clock

    def get(self, version: ModelVersion) -> Loaded:
        """A registered version, and from now on the last good one of its model.

        Raises
        ------
        InvalidBundle, NotFound, OSError
            When it is not to be had, or is not what was registered.
        Unavailable
            While the registry is down.
        """
        name, number = version.name, version.version
        if _VERSION.fullmatch(number) is None:
            raise InvalidBundle(f"{number!r} cannot be a version of {name}")
        loaded = self._shelved(version)
        if loaded is None:
            loaded = self._downloaded(version)
        self._shelf.remember(name, number)
        return loaded

    def _shelved(self, version: ModelVersion) -> Loaded | None:
        folder = self._shelf.find(version.name, version.version)
        if folder is None:
            return None
        try:
            loaded = self._read(
                version.name, version.version, folder, Origin.REGISTRY, gate_of(version)
            )
        except InvalidBundle as error:
            log.warning(
                "kept model is broken",
                model=version.name,
                version=version.version,
                why=str(error),
            )
            return None
        return loaded if is_same(loaded, version) else None

    def _downloaded(self, version: ModelVersion) -> Loaded:
        name, number = version.name, version.version
        with self._shelf.incoming() as folder:
            downloaded = self._registry.download(name, number, folder)
            loaded = self._read(name, number, downloaded, Origin.REGISTRY, gate_of(version))
            if not is_same(loaded, version):
                raise InvalidBundle(
                    f"bundle of {name} version {number} has the sum {loaded.model.bundle_sha256}, "
                    f"registered is {version.tags[SUM_TAG]}; it was altered, train anew"
                )
            self._shelf.put(name, number, downloaded)
        return loaded

    def kept(self) -> Iterator[tuple[str, Loaded]]:
        """The last good version of each model, by name, as far as it is still in order."""
        for name, version, folder in self._shelf.last_good():
            if not is_model_name(name):
                continue
            try:
                yield name, self._read(name, version, folder, Origin.DISK)
            except (InvalidBundle, OSError) as error:
                log.warning("kept model is broken", model=name, version=version, why=str(error))

    def forget(self, name: str) -> None:
        """Have no last good version of a model any more."""
        self._shelf.forget(name)

    def _read(
        self, name: str, version: str, folder: Path, source: Origin, gate: str | None = None
    ) -> Loaded:
        # Verifies every sum and scores the golden batch: what it returns is warm.
        bundle = read_bundle(folder)
        if bundle.manifest.machine_type != machine_type_of(name):
            raise InvalidBundle(
                f"bundle of {name} version {version} is of the machine type "
                f"{bundle.manifest.machine_type!r}"
            )
        model = Model(name, version, bundle.detector, bundle.reference, bundle.sha256)
        now_ms, step_ms = self._clock.now_ms(), bundle.manifest.step_ms
        return Loaded(model, now_ms, source, gate, step_ms)


def is_same(loaded: Loaded, version: ModelVersion) -> bool:
    """Whether what is loaded is the registered version, by its sum where that is registered."""
    registered = version.tags.get(SUM_TAG)
    model = loaded.model
    return model.version == version.version and registered in {None, model.bundle_sha256}


def gate_of(version: ModelVersion) -> str | None:
    """What the gate says of a registered version; None when it has not judged it."""
    return version.tags.get(GATE_TAG)
