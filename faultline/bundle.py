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
from numpy.typing import NDArray

import faultline
from faultline import bundle_files as files
from faultline.detector import Detector, MachineHistory, RowState, Window
from faultline.errors import InvalidBundle

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ARRAYS = "arrays.npz"
GOLDEN = "golden.npz"

_GOLDEN_ROWS = 64
_RELATIVE = 1e-9
_ABSOLUTE = 1e-12


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


@dataclass(frozen=True, eq=False)
class GoldenBatch:
    """Rows of one machine and the scores that they must give, from an empty window on.

    Attributes
    ----------
    timestamps_ms
        Shape (n,), int64.
    values
        Shape (n, d), columns as the detector's sensors; NaN where missing.
    score
        Shape (n,): NaN where a row has none.
    state, cluster
        Shape (n,), int64, as in `faultline.detector.Scores`.
    """

    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    score: NDArray[np.float64]
    state: NDArray[np.int64]
    cluster: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    sha256
        Sum of the manifest, which holds the sums of all other files: the bundle's identity.
    """

    detector: Detector
    manifest: Manifest
    sha256: str


def golden_batch(
    detector: Detector, history: MachineHistory, rows: int = _GOLDEN_ROWS
) -> GoldenBatch:
    """Score stretches of a machine's history: of every cluster it is seen in, the last rows.

    Parameters
    ----------
    history
        Columns as the detector's sensors.
    rows
        How many scored rows, shared between the clusters; the rows of their windows come on top.

    Raises
    ------
    ValueError
        When no row of the history can be scored.
    """
    empty = Window.empty(detector.sensors)
    scores, _ = detector.score(empty, history.timestamps_ms, history.values)
    clusters = np.unique(scores.cluster[scores.state == RowState.SCORED])
    if not clusters.size:
        raise ValueError(
            f"no row of {history.machine_id!r} can be scored; take another machine's history"
        )
    taken = np.zeros(len(scores), dtype=np.bool_)
    for cluster in clusters:
        for row in np.flatnonzero(scores.cluster == cluster)[-max(1, rows // len(clusters)) :]:
            taken[max(0, row - detector.window_rows + 1) : row + 1] = True
    timestamps_ms = history.timestamps_ms[taken].astype(np.int64)
    values = history.values[taken].astype(np.float64)
    scores, _ = detector.score(empty, timestamps_ms, values)
    return GoldenBatch(
        timestamps_ms,
        values,
        scores.score,
        scores.state.astype(np.int64),
        scores.cluster.astype(np.int64),
    )


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
    contents = files.read_folder(folder, (MANIFEST, ARRAYS, GOLDEN))
    manifest = _manifest(contents[MANIFEST])
    listed = {ARRAYS, GOLDEN}
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
    _verify_golden(detector, contents[GOLDEN])
    return Bundle(detector, manifest, _sum(contents[MANIFEST]))


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
                f"({faultline.__version__}) reads {SCHEMA_VERSION}"
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


def _verify_golden(detector: Detector, content: bytes) -> None:
    golden = _golden(detector, files.unpack(GOLDEN, content))
    # A forged window would otherwise ask for more memory than there is.
    if detector.window_rows > len(golden.state):
        raise InvalidBundle(
            f"{GOLDEN}: {len(golden.state)} rows are no window of {detector.window_rows}"
        )
    if not (golden.state == RowState.SCORED).any():
        raise InvalidBundle(f"{GOLDEN}: no row of the golden batch has a score")
    try:
        # Altered numbers may overflow; the comparison then says so.
        with np.errstate(all="ignore"):
            scores, _ = detector.score(
                Window.empty(detector.sensors), golden.timestamps_ms, golden.values
            )
    except ValueError as error:
        raise InvalidBundle(f"{GOLDEN}: cannot be scored: {error}") from error
    same = (
        np.array_equal(scores.state, golden.state)
        and np.array_equal(scores.cluster, golden.cluster)
        and np.allclose(scores.score, golden.score, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)
    )
    if not same:
        raise InvalidBundle(
            f"{GOLDEN}: the golden batch does not give the scores that it gave in training; the "
            "detector was altered, or this Faultline scores otherwise"
        )


def _golden(detector: Detector, arrays: Mapping[str, NDArray[Any]]) -> GoldenBatch:
    rows = len(arrays["timestamps_ms"]) if "timestamps_ms" in arrays else 0
    expected = {
        "timestamps_ms": (np.int64, (rows,)),
        "values": (np.float64, (rows, len(detector.sensors))),
        "score": (np.float64, (rows,)),
        "state": (np.int64, (rows,)),
        "cluster": (np.int64, (rows,)),
    }
    if set(arrays) != set(expected):
        raise InvalidBundle(f"{GOLDEN}: holds {sorted(arrays)}; must be {sorted(expected)}")
    for name, (dtype, shape) in expected.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != shape:
            raise InvalidBundle(
                f"{GOLDEN}: {name} is {array.dtype} of the shape {array.shape}; must be "
                f"{np.dtype(dtype)} of {shape}"
            )
    return GoldenBatch(**arrays)
