"""A model to score with: from a folder, or pulled from the registry by its reference."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from faultline.bundle import Bundle, read_bundle
from faultline.errors import InvalidBundle, NotFound
from faultline.judge import Model
from faultline.ports.registry import ModelRegistry, ModelVersion

_REFERENCE = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[^/@]+))")
_SUM_TAG = "bundle_sha256"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A verified model and where it came from."""

    model: Model
    bundle: Bundle

    @property
    def step_ms(self) -> int | None:
        """The usual time between two rows of the training; None where that is not known."""
        return self.bundle.manifest.step_ms or self.model.detector.step_ms or None

    @property
    def timestamp_column(self) -> str:
        """The column of the time in the files it was fitted to, if that is known."""
        return str(self.bundle.manifest.summary.get("timestamp_column", "timestamp"))


def is_reference(text: str) -> bool:
    """Whether it names a registered model and no folder."""
    return text.startswith("models:")


def load_folder(folder: Path) -> Loaded:
    """Read the model that `faultline fit` wrote into a folder, verified.

    Raises
    ------
    InvalidBundle
        When there is none, or it was altered.
    """
    if not folder.is_dir():
        raise InvalidBundle(
            f"{folder}: there is no such folder; give the one that `faultline fit --model` wrote"
        )
    bundle = read_bundle(folder)
    return _loaded(bundle, bundle.manifest.model_name, bundle.sha256[:12])


def pull(reference: str, registry: ModelRegistry) -> Loaded:
    """Fetch a registered version and read it, verified against the sum it was registered with.

    Parameters
    ----------
    reference
        ``models:/NAME@production`` (or ``@staging``, ``/Production``) or ``models:/NAME/3``.

    Raises
    ------
    NotFound
        When it is no such reference, or names nothing.
    InvalidBundle
        When the version's files were altered.
    Unavailable
        While the registry does not answer.
    """
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        raise NotFound(
            f"{reference!r} names no version; write models:/faultline-TYPE@production or "
            "models:/faultline-TYPE/3"
        )
    version = _version(registry, parts["name"], parts["alias"] or parts["version"])
    with tempfile.TemporaryDirectory(prefix="faultline-model-") as folder:
        bundle = read_bundle(registry.download(version.name, version.version, Path(folder)))
    registered = version.tags.get(_SUM_TAG)
    if registered is not None and registered != bundle.sha256:
        raise InvalidBundle(
            f"bundle of {version.name} version {version.version} has the sum {bundle.sha256}, "
            f"registered is {registered}; it was altered, train anew"
        )
    return _loaded(bundle, version.name, version.version)


def _version(registry: ModelRegistry, name: str, which: str) -> ModelVersion:
    if which.isdecimal():
        return registry.version(name, which)
    found = (
        registry.production(name)
        if which.lower() == "production"
        else next(
            (one for one in registry.versions(name) if which.lower() in one.aliases),
            None,
        )
    )
    if found is None:
        raise NotFound(f"{name} has no version in {which}; promote one, or name its number")
    return found


def _loaded(bundle: Bundle, name: str, version: str) -> Loaded:
    return Loaded(Model(name, version, bundle.detector), bundle)
