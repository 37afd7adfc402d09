"""A model version's files: JSON and npz with their sums, written once and verified before use.

Data only: nothing in a bundle is executed. It knows files, and nothing of registries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import faultline
from faultline import bundle_files as files
from faultline.bundle_golden import GOLDEN, GoldenBatch, golden_batch, verify_golden
from faultline.detector import Detector
from faultline.detector.reference import Reference
from faultline.errors import InvalidBundle

__all__ = [
    "ARRAYS",
    "GOLDEN",
    "MANIFEST",
    "REFERENCE",
    "SCHEMA_VERSION",
    "Bundle",
    "FileSum",
    "GoldenBatch",
    "Manifest",
    "golden_batch",
    "read_bundle",
    "write_bundle",
]

SCHEMA_VERSION = 3
MANIFEST = "manifest.json"
ARRAYS = "arrays.npz"
REFERENCE = "reference.npz"
"""What drift is told by; a bundle may be without."""


class FileSum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of the bundle must be: its size in bytes and the SHA-256 of its content."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle says of itself.

    Attributes
    ----------
    created_ms
        Milliseconds since the epoch.
    parameters
        `Detector.parameters`.
    files
        Every other file of the bundle.
    lineage, summary
        For people: what it was trained on, and how it turned out. Nothing is decided by them.
    step_ms
        Usual time between two rows of the training, for rows without a time; None where that is
        not known.
    """

    schema_version: int
    model_name: str
    machine_type: str
    created_ms: int
    faultline_version: str
    sensors: tuple[str, ...]
    parameters: dict[str, int | float | str | list[str]]
    files: dict[str, FileSum]
    lineage: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    step_ms: int | None = None

    def __post_init__(self) -> None:
        if self.step_ms is not None and self.step_ms < 1:
            raise ValueError(f"step_ms must be at least 1; got {self.step_ms}")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    sha256
        Sum of the manifest, which holds the sums of all other files: the bundle's identity.
    reference
        What training looked like; None in a bundle without.
    """

    detector: Detector
    manifest: Manifest
    sha256: str
    reference: Reference | None = None


def write_bundle(
    folder: Path,
    detector: Detector,
    golden: GoldenBatch,
    *,
    model_name: str,
    machine_type: str,
    created_ms: int,
    lineage: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    reference: Reference | None = None,
    step_ms: int | None = None,
) -> str:
    """Write a bundle and read it back, verified.

    Parameters
    ----------
    folder
        Made if it is not there; must be empty.
    golden
        See `golden_batch`.
    lineage, summary
        JSON values; what is no number becomes null.
    reference
        What training looked like; without it the predictor cannot tell drift.
    step_ms
        Usual time between two rows of the training.

    Returns
    -------
    str
        Sum of the manifest, to be kept where nobody who can alter the files can alter it too.

    Raises
    ------
    InvalidBundle
        When what was written does not hold, because it is too large or the folder is not empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InvalidBundle(f"{folder}: is not empty; give a folder of the bundle's own")
    contents = {
        ARRAYS: files.pack(detector.to_arrays()),
        GOLDEN: files.pack(vars(golden)),
    }
    if reference is not None:
        contents[REFERENCE] = files.pack(vars(reference))
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        model_name=model_name,
        machine_type=machine_type,
        created_ms=created_ms,
        faultline_version=faultline.__version__,
        sensors=detector.sensors,
        parameters=detector.parameters(),
        files={
            name: FileSum(len(content), _sum(content)) for name, content in sorted(contents.items())
        },
        lineage=dict(lineage or {}),
        summary=dict(summary or {}),
        step_ms=step_ms,
    )
    contents[MANIFEST] = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return read_bundle(folder).sha256


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and verify all of it: files, sums, arrays, and the golden batch scored anew.

    Parameters
    ----------
    folder
        Holds the bundle's files and nothing else.

    Raises
    ------
    InvalidBundle
        Naming the file and what is wrong with it. Nothing of the bundle should be used then.
    """
    listed = {ARRAYS, GOLDEN}
    if (folder / REFERENCE).exists():
        listed.add(REFERENCE)
    contents = files.read_folder(folder, (MANIFEST, *sorted(listed)))
    manifest = _manifest(contents[MANIFEST])
    if set(manifest.files) != listed:
        raise InvalidBundle(
            f"{MANIFEST}: lists the files {sorted(manifest.files)}; must be {sorted(listed)}"
        )
    for name, expected in manifest.files.items():
        content = contents[name]
        if len(content) != expected.bytes:
            raise InvalidBundle(
                f"{name}: has {len(content)} bytes, the manifest says {expected.bytes}"
            )
        if _sum(content) != expected.sha256:
            raise InvalidBundle(f"{name}: its SHA-256 is not the manifest's; it was altered")
    detector = _detector(manifest, contents[ARRAYS])
    verify_golden(detector, contents[GOLDEN])
    reference = _reference(detector, contents[REFERENCE]) if REFERENCE in contents else None
    return Bundle(detector, manifest, _sum(contents[MANIFEST]), reference)


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Version(msgspec.Struct):
    schema_version: int


def _manifest(content: bytes) -> Manifest:
    try:
        # The version first: another schema has other fields, and that is no fault of theirs.
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise InvalidBundle(
                f"{MANIFEST}: schema version {version}; this Faultline "
                f"({faultline.__version__}) reads {SCHEMA_VERSION}; train the machine type anew "
                "with it: the trainer, or faultline fit, makes a bundle that it reads"
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBundle(f"{MANIFEST}: {error}") from error


def _detector(manifest: Manifest, content: bytes) -> Detector:
    arrays = files.unpack(ARRAYS, content)
    floats = {name: array for name, array in arrays.items() if array.dtype == np.float64}
    try:
        detector = Detector.from_parts(manifest.parameters, floats)
    except ValueError as error:
        raise InvalidBundle(f"{MANIFEST} and {ARRAYS} make no detector: {error}") from error
    if set(arrays) != set(detector.to_arrays()):
        raise InvalidBundle(
            f"{ARRAYS}: holds {sorted(arrays)}; must be {sorted(detector.to_arrays())}"
        )
    if set(manifest.parameters) != set(detector.parameters()):
        raise InvalidBundle(
            f"{MANIFEST}: has the parameters {sorted(manifest.parameters)}; must be "
            f"{sorted(detector.parameters())}"
        )
    if manifest.sensors != detector.sensors:
        raise InvalidBundle(f"{MANIFEST}: the sensors are not those of the parameters")
    return detector


def _reference(detector: Detector, content: bytes) -> Reference:
    try:
        return Reference.from_arrays(detector, files.unpack(REFERENCE, content))
    except ValueError as error:
        raise InvalidBundle(f"{REFERENCE}: {error}") from error
