"""Versions that are broken or hostile, fetched from the real MLflow: refused, and nothing is run.

Whoever made them controls the registry too: sums and tags are right wherever they can be.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from faultline.adapters.clock import SystemClock
from faultline.bundle import ARRAYS, GOLDEN, MANIFEST
from faultline.events import ModelEvent, ModelEventKind, machine_type_of
from faultline.local.home import Endpoints
from faultline.ports.registry import ModelRegistry
from faultline.settings import RegistrySettings
from services.predictor.loader import ModelLoader
from services.predictor.metrics import Metrics
from services.predictor.shelf import BundleShelf
from services.predictor.slot import ModelSlot
from tests.integration.versions import detector_with, write_version

pytestmark = pytest.mark.real

Damage = Callable[[Path], None]
_MOST_BYTES = 64 * 1024 * 1024
_RUN = "executed.txt"


class Payload:
    """What a pickle does when someone loads it: it leaves a file behind."""

    def __init__(self, witness: Path) -> None:
        self._witness = witness

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return _leave_file, (str(self._witness),)


def _leave_file(path: str) -> None:
    Path(path).write_text("executed", encoding="utf-8")


def _reseal(bundle: Path, **changes: object) -> None:
    """Make the manifest's sums those of the files that are there."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    for name in manifest["files"]:
        content = (bundle / name).read_bytes()
        manifest["files"][name] = {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    (bundle / MANIFEST).write_text(json.dumps({**manifest, **changes}), encoding="utf-8")


def _resealed(name: str, content: Callable[[Path], bytes]) -> Damage:
    def damage(bundle: Path) -> None:
        (bundle / name).write_bytes(content(bundle))
        _reseal(bundle)

    return damage


def _zip(name: str, content: bytes, kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _npy_of_objects(bundle: Path) -> bytes:
    objects = np.empty(1, dtype=object)
    objects[0] = Payload(bundle.parent / _RUN)
    file = io.BytesIO()
    np.save(file, objects, allow_pickle=True)
    return file.getvalue()


def _truncated(bundle: Path) -> None:
    path = bundle / ARRAYS
    path.write_bytes(path.read_bytes()[:-20])


def _other_bundle(bundle: Path) -> None:
    """A whole and valid bundle, but not the one whose sum is registered."""
    manifest = json.loads((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_text(json.dumps({**manifest, "created_ms": 1}), encoding="utf-8")


def _huge(bundle: Path) -> None:
    with (bundle / ARRAYS).open("wb") as file:
        file.truncate(_MOST_BYTES + 1)
    _reseal(bundle)


def _code(bundle: Path) -> None:
    (bundle / "loader.py").write_text("raise SystemExit", encoding="utf-8")


def _folder(bundle: Path) -> None:
    (bundle / "more").mkdir()
    (bundle / "more" / "code.py").write_text("raise SystemExit", encoding="utf-8")


HOSTILE: dict[str, tuple[Damage, str]] = {
    "truncated": (_truncated, "arrays.npz"),
    "truncated and resealed": (
        _resealed(ARRAYS, lambda bundle: (bundle / ARRAYS).read_bytes()[:-20]),
        "is no archive of arrays",
    ),
    "another schema version": (lambda bundle: _reseal(bundle, schema_version=99), "99"),
    "other sensors": (lambda bundle: _reseal(bundle, sensors=["flow", "sound"]), "sensors"),
    "another machine type": (
        lambda bundle: _reseal(bundle, machine_type="fan"),
        "is of the machine type 'fan'",
    ),
    "a pickle": (
        _resealed(ARRAYS, lambda bundle: pickle.dumps(Payload(bundle.parent / _RUN))),
        "is no archive of arrays",
    ),
    "a pickle in an array": (
        _resealed(ARRAYS, lambda bundle: _zip("centre.npy", _npy_of_objects(bundle))),
        "is no npy",
    ),
    "a pickle among the golden rows": (
        _resealed(GOLDEN, lambda bundle: _zip("rows.npy", _npy_of_objects(bundle))),
        "is no npy",
    ),
    "a zip bomb": (
        _resealed(
            ARRAYS,
            lambda _: _zip("centre.npy", b"\0" * (2 * _MOST_BYTES), zipfile.ZIP_DEFLATED),
        ),
        "larger than the file",
    ),
    "a path out of the archive": (
        _resealed(ARRAYS, lambda _: _zip("../../escaped.npy", b"")),
        "unexpected member",
    ),
    "a huge file": (_huge, "larger than"),
    "code beside it": (
        _code,
        "not a part of it",
    ),
    "a folder in it": (_folder, "more"),
}


class World:
    """A model of the test's own in the real registry, and a predictor's loader on it."""

    def __init__(self, registry: ModelRegistry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.name = f"faultline-it-{uuid4().hex[:12]}"
        self.slot = ModelSlot()
        self.metrics = Metrics()
        self.events: list[ModelEvent] = []
        self.loader = ModelLoader(
            registry,
            BundleShelf(folder / "bundles"),
            self.slot,
            announce=self.events.append,
            metrics=self.metrics,
            clock=SystemClock(),
            poll_s=1.0,
            retry_s=300.0,
        )

    def promote(self, boundary: float, damage: Damage | None = None, *, tell: bool = True) -> str:
        """Register and promote a version; without `tell` its tag has the sum before the damage."""
        made = write_version(
            self.folder / f"artifacts-{boundary}",
            machine_type_of(self.name),
            detector_with(boundary),
        )
        bundle, bundle_sum = made.bundle, made.bundle_sha256
        if damage is not None:
            damage(bundle)
        if tell:
            bundle_sum = hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
        run_id = self.registry.log_run(made.run)
        tags = {"bundle_sha256": bundle_sum}
        version = self.registry.register(self.name, run_id, tags, "A test's.").version
        self.registry.promote(self.name, version)
        return version

    def follow(self) -> None:
        """Look at this model alone: the registry has those of other tests."""
        self.loader._follow(self.name)
        self.loader._announce_refusals()

    @property
    def version(self) -> str | None:
        model = self.slot.model(machine_type_of(self.name))
        return None if model is None else model.version


@pytest.fixture(scope="module")
def registry(platform: Endpoints) -> ModelRegistry:
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

    return MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=platform.mlflow))


@pytest.fixture
def world(registry: ModelRegistry, tmp_path: Path) -> World:
    world = World(registry, tmp_path)
    world.promote(boundary=2.0)
    world.follow()
    assert world.version == "1"
    return world


def _assert_refused(world: World, why: str) -> None:
    assert world.version == "1"
    refusal = world.loader.refusals()[world.name]
    assert refusal.version == "2"
    assert why in refusal.reason
    [event] = world.events
    assert (event.kind, event.model_version) == (ModelEventKind.LOAD_REFUSED, "2")
    counted = world.metrics.registry.get_sample_value(
        "faultline_predictor_model_refusals_total", {"model": world.name}
    )
    assert counted == 1
    kept = sorted(path.name for path in (world.folder / "bundles" / world.name).iterdir())
    assert kept == ["1", "last-good.json"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_version_is_refused_and_nothing_is_executed(world: World, kind: str) -> None:
    damage, why = HOSTILE[kind]
    world.promote(3.0, damage)
    tracemalloc.start()
    try:
        world.follow()
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    _assert_refused(world, why)
    assert not list(world.folder.rglob(_RUN))
    assert not list(world.folder.rglob("escaped.npy"))
    # What is allowed of one file, and what reading it takes beside.
    assert most_bytes < 2.5 * _MOST_BYTES


def test_a_valid_bundle_that_is_not_the_registered_one_is_refused(world: World) -> None:
    world.promote(3.0, _other_bundle, tell=False)
    world.follow()
    _assert_refused(world, "it was altered")


def test_the_next_good_version_takes_over(world: World) -> None:
    world.promote(3.0, _truncated)
    world.follow()
    world.promote(4.0)
    world.follow()
    assert world.version == "3"
    assert world.loader.refusals() == {}


def test_a_pickle_would_have_left_its_file(tmp_path: Path) -> None:
    """Otherwise the tests above would prove nothing."""
    pickle.loads(pickle.dumps(Payload(tmp_path / _RUN)))
    assert (tmp_path / _RUN).exists()
