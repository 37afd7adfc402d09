"""A predictor that judges by bundles in folders: no registry, the same rules."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from faultline.adapters.bundle_folders import BundleFolders
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.bundle import MANIFEST, read_bundle
from faultline.detector import Detector
from faultline.errors import NotFound, Unavailable
from faultline.ports.registry import ModelVersion
from services.predictor.assembly import Predictor, assemble
from services.predictor.loader import ModelLoader
from services.predictor.metrics import Metrics
from services.predictor.ports import Ports
from services.predictor.settings import PredictorSettings
from services.predictor.shelf import BundleShelf
from services.predictor.slot import ModelSlot

if TYPE_CHECKING:
    from faultline.ports.clock import Clock

NAME = "faultline-pump"
Register = Callable[..., ModelVersion]
Put = Callable[..., Path]


@pytest.fixture
def put(registry: MemoryRegistry, register: Register, tmp_path: Path) -> Put:
    """Put a bundle, as a training writes it, into the folder that is given."""
    given = tmp_path / "given"

    def run(detector: Detector | None = None, machine_type: str = "pump") -> Path:
        version = register(detector, machine_type)
        shutil.rmtree(given, ignore_errors=True)
        return registry.download(version.name, version.version, given)

    return run


class Loading:
    """A loader of the folder, and what is in its slot."""

    def __init__(self, folder: Path, state: Path, clock: Clock) -> None:
        self.slot = ModelSlot()
        self.loader = ModelLoader(
            BundleFolders({NAME: folder}),
            BundleShelf(state),
            self.slot,
            announce=lambda _: None,
            metrics=Metrics(),
            clock=clock,
            poll_s=2.0,
            retry_s=300.0,
        )

    def version(self) -> str | None:
        """After one more look."""
        self.loader.refresh()
        model = self.slot.model("pump")
        return None if model is None else model.version


@pytest.fixture
def loading(tmp_path: Path, clock: Clock) -> Loading:
    return Loading(tmp_path / "given", tmp_path / "state", clock)


def test_the_bundle_judges_and_is_named_by_its_sum(put: Put, loading: Loading) -> None:
    folder = put()
    assert loading.version() == read_bundle(folder).sha256[:12]


def test_another_bundle_in_its_place_is_another_version(
    put: Put, loading: Loading, make_detector: Callable[..., Detector]
) -> None:
    put()
    before = loading.version()
    folder = put(make_detector(boundary=2.5))
    assert loading.version() == read_bundle(folder).sha256[:12] != before


def test_a_bundle_that_is_altered_is_refused_and_the_one_before_goes_on(
    put: Put, loading: Loading, make_detector: Callable[..., Detector]
) -> None:
    put()
    before = loading.version()
    folder = put(make_detector(boundary=2.5))
    arrays = next(path for path in folder.iterdir() if path.name != MANIFEST)
    arrays.write_bytes(arrays.read_bytes()[:-20])
    assert loading.version() == before
    assert "bytes" in loading.loader.refusals()[NAME].reason


def test_a_folder_that_goes_away_changes_nothing(put: Put, loading: Loading) -> None:
    folder = put()
    before = loading.version()
    shutil.rmtree(folder)
    assert loading.version() == before
    assert loading.loader.refusals() == {}


def test_a_bundle_of_another_type_is_refused(put: Put, loading: Loading) -> None:
    put(machine_type="valve")
    assert loading.version() is None
    assert "'valve'" in loading.loader.refusals()[NAME].reason


def test_a_bundle_comes_late_and_is_followed(put: Put, loading: Loading) -> None:
    assert loading.version() is None
    put()
    assert loading.version() is not None


def test_folders_answer_as_a_registry_does(put: Put, tmp_path: Path) -> None:
    folders = BundleFolders({NAME: put()})
    found = folders.production(NAME)
    assert found is not None
    assert (folders.models(), folders.staging(NAME)) == ([NAME], None)
    assert folders.production("faultline-valve") is None
    copied = folders.download(NAME, found.version, tmp_path / "copy")
    assert read_bundle(copied).sha256 == found.tags["bundle_sha256"]
    with pytest.raises(NotFound):
        folders.download(NAME, "0", tmp_path / "copy")
    with pytest.raises(Unavailable, match="nowhere"):
        BundleFolders({NAME: tmp_path / "nowhere"}).production(NAME)


def test_the_setting_names_a_folder_for_each_type() -> None:
    settings = PredictorSettings(predictor_bundles="pump=/models/pump ; valve = v")
    assert settings.bundles() == {
        "faultline-pump": Path("/models/pump"),
        "faultline-valve": Path("v"),
    }
    assert PredictorSettings().bundles() == {}


def test_given_bundles_and_those_of_the_registry_are_kept_apart() -> None:
    given = PredictorSettings(predictor_bundles="pump=p").shelf_folder
    assert given != PredictorSettings().shelf_folder


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pump", "TYPE=FOLDER"),
        ("pump=", "TYPE=FOLDER"),
        ("Pump=p", "'Pump' is no machine type"),
        ("pump=a;pump=b", "two bundles"),
    ],
)
def test_a_setting_that_names_no_folders_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        PredictorSettings(predictor_bundles=text)


def test_what_was_given_before_does_not_judge_any_more(
    put: Put, tmp_path: Path, clock: Clock
) -> None:
    given = put()

    def predictor(machine_type: str) -> Predictor:
        settings = PredictorSettings(
            state_dir=tmp_path / "state", predictor_bundles=f"{machine_type}={given}"
        )
        broker, database = MemoryBroker(), MemoryDatabase()
        return assemble(
            settings,
            Ports(
                broker=broker,
                registry=BundleFolders(settings.bundles()),
                store=database.fleet_store(),
                comparisons=database.comparison_store(),
                drift=database.drift_log(),
                database=lambda: None,
                clock=clock,
            ),
        )

    first = predictor("pump")
    first.loader.refresh()
    assert set(first.slot.loaded()) == {"pump"}
    assert predictor("valve").slot.loaded() == {}
