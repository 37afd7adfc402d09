"""Following Production: loaded beside, swapped whole, refused once, kept on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from faultline.adapters.memory.registry import MemoryRegistry
from faultline.detector import Detector
from faultline.errors import Unavailable
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from services.predictor.loader import ModelLoader
from services.predictor.metrics import Metrics
from services.predictor.shelf import BundleShelf
from services.predictor.slot import ModelSlot, Origin

if TYPE_CHECKING:
    from faultline.ports.clock import Clock

NAME = "faultline-pump"
Register = Callable[..., ModelVersion]
MakeDetector = Callable[..., Detector]
_DEADLINE_S = 10.0


class Interrupted:
    """A registry that can be switched off, and counts the downloads."""

    def __init__(self, registry: ModelRegistry) -> None:
        self.registry = registry
        self.down = False
        self.downloads: list[str] = []

    def __getattr__(self, method: str) -> Any:
        if self.down:
            raise Unavailable("the registry is switched off")
        return getattr(self.registry, method)

    def download(self, name: str, version: str, to: Path) -> Path:
        if self.down:
            raise Unavailable("the registry is switched off")
        self.downloads.append(version)
        return self.registry.download(name, version, to)


class Setup:
    """A loader with what is around it; `restarted` is the process after this one."""

    def __init__(
        self, registry: ModelRegistry, folder: Path, clock: Clock, poll_s: float = 2.0
    ) -> None:
        self.registry = Interrupted(registry)
        self.slot = ModelSlot()
        self.metrics = Metrics()
        self.events: list[ModelEvent] = []
        self.broker_down = False
        self._folder = folder
        self._clock = clock
        self.loader = ModelLoader(
            self.registry,
            BundleShelf(folder),
            self.slot,
            announce=self._announce,
            metrics=self.metrics,
            clock=clock,
            poll_s=poll_s,
            retry_s=300.0,
        )

    def _announce(self, event: ModelEvent) -> None:
        if self.broker_down:
            raise Unavailable("the broker is switched off")
        self.events.append(event)

    def restarted(self) -> Setup:
        return Setup(self.registry.registry, self._folder, self._clock)

    @property
    def version(self) -> str | None:
        model = self.slot.model("pump")
        return None if model is None else model.version

    @property
    def refusals(self) -> float:
        return self.metrics.registry.get_sample_value(
            "faultline_predictor_model_refusals_total", {"model": NAME}
        ) or 0.0  # fmt: skip


@pytest.fixture
def setup(registry: MemoryRegistry, tmp_path: Path, clock: Clock) -> Setup:
    return Setup(registry, tmp_path / "bundles", clock)


def _cut_off(name: str) -> Callable[[Path], None]:
    def damage(bundle: Path) -> None:
        path = bundle / name
        path.write_bytes(path.read_bytes()[:-20])

    return damage


def test_without_a_registered_model_there_is_none(setup: Setup) -> None:
    setup.loader.refresh()
    assert setup.version is None


def test_a_version_in_staging_is_not_loaded(setup: Setup, register: Register) -> None:
    register(promote=False)
    setup.loader.refresh()
    assert setup.version is None


def test_the_version_in_production_is_loaded(setup: Setup, register: Register) -> None:
    register()
    setup.loader.refresh()
    assert setup.version == "1"


def test_a_promoted_version_takes_over(
    setup: Setup, register: Register, make_detector: MakeDetector
) -> None:
    register()
    setup.loader.refresh()
    register(make_detector(boundary=3.0))
    setup.loader.refresh()
    model = setup.slot.model("pump")
    assert model is not None
    assert (model.version, model.detector.boundary) == ("2", 3.0)


def test_a_version_that_is_loaded_is_not_fetched_again(setup: Setup, register: Register) -> None:
    register()
    setup.loader.refresh()
    setup.loader.refresh()
    assert setup.registry.downloads == ["1"]


@pytest.mark.parametrize("file", ["arrays.npz", "golden.npz", "manifest.json"])
def test_a_broken_version_is_refused_and_the_old_one_goes_on(
    setup: Setup, register: Register, make_detector: MakeDetector, file: str
) -> None:
    register()
    setup.loader.refresh()
    register(make_detector(boundary=3.0), damage=_cut_off(file))
    setup.loader.refresh()
    assert setup.version == "1"
    assert file in setup.loader.refusals()[NAME].reason


def test_a_version_that_is_not_the_one_registered_is_refused(
    setup: Setup, register: Register
) -> None:
    register(bundle_sum="0" * 64)
    setup.loader.refresh()
    assert setup.version is None
    assert "it was altered" in setup.loader.refusals()[NAME].reason


def test_a_version_of_another_machine_type_is_refused(setup: Setup, register: Register) -> None:
    register(bundle_type="fan")
    setup.loader.refresh()
    assert "'fan'" in setup.loader.refusals()[NAME].reason


def test_a_broken_version_is_refused_once_and_said_once(setup: Setup, register: Register) -> None:
    register(damage=_cut_off("arrays.npz"))
    for _ in range(3):
        setup.loader.refresh()
    assert setup.registry.downloads == ["1"]
    assert setup.refusals == 1
    assert [(event.kind, event.model_version) for event in setup.events] == [
        (ModelEventKind.LOAD_REFUSED, "1")
    ]


def test_a_refused_version_is_tried_again_after_a_while(
    setup: Setup, register: Register, clock: Clock
) -> None:
    register(damage=_cut_off("arrays.npz"))
    setup.loader.refresh()
    clock.sleep(301.0)
    setup.loader.refresh()
    assert setup.registry.downloads == ["1", "1"]
    assert setup.refusals == 1


def test_a_refusal_is_forgotten_when_the_alias_moves(
    setup: Setup, register: Register, make_detector: MakeDetector, registry: MemoryRegistry
) -> None:
    register()
    register(make_detector(boundary=3.0), damage=_cut_off("arrays.npz"))
    setup.loader.refresh()
    registry.promote(NAME, "1")
    setup.loader.refresh()
    assert setup.version == "1"
    assert setup.loader.refusals() == {}


def test_it_shows_whether_a_version_is_refused_and_the_registry_is_reached(
    setup: Setup, register: Register, make_detector: MakeDetector
) -> None:
    def shown(name: str, **labels: str) -> float | None:
        return setup.metrics.registry.get_sample_value(f"faultline_predictor_{name}", labels)

    alias = {"model": NAME, "alias": "production"}
    register(damage=_cut_off("arrays.npz"))
    setup.loader.refresh()
    assert (shown("model_refused", **alias), shown("registry_reachable")) == (1, 1)
    register(make_detector(boundary=3.0))
    setup.loader.refresh()
    assert shown("model_refused", **alias) == 0
    setup.registry.down = True
    setup.loader.refresh()
    assert shown("registry_reachable") == 0


def test_a_refusal_that_cannot_be_said_yet_is_said_later(setup: Setup, register: Register) -> None:
    register(damage=_cut_off("arrays.npz"))
    setup.broker_down = True
    setup.loader.refresh()
    setup.broker_down = False
    setup.loader.refresh()
    setup.loader.refresh()
    assert len(setup.events) == 1


def test_a_registry_that_is_down_leaves_the_loaded_version_in_its_place(
    setup: Setup, register: Register
) -> None:
    register()
    setup.loader.refresh()
    setup.registry.down = True
    setup.loader.refresh()
    assert setup.version == "1"


def test_the_last_good_version_judges_after_a_restart_without_the_registry(
    setup: Setup, register: Register
) -> None:
    register()
    setup.loader.refresh()
    later = setup.restarted()
    later.registry.down = True
    later.loader.start_from_disk()
    later.loader.refresh()
    assert later.version == "1"
    assert later.slot.loaded()["pump"].source is Origin.DISK


def test_a_refused_version_is_not_what_a_restart_begins_with(
    setup: Setup, register: Register, make_detector: MakeDetector
) -> None:
    register()
    setup.loader.refresh()
    register(make_detector(boundary=3.0), damage=_cut_off("arrays.npz"))
    setup.loader.refresh()
    later = setup.restarted()
    later.loader.start_from_disk()
    assert later.version == "1"


def test_a_kept_version_is_not_fetched_again_once_the_registry_is_back(
    setup: Setup, register: Register
) -> None:
    register()
    setup.loader.refresh()
    later = setup.restarted()
    later.loader.start_from_disk()
    later.loader.refresh()
    assert later.registry.downloads == []
    assert later.slot.loaded()["pump"].source is Origin.REGISTRY


def test_a_kept_version_that_was_damaged_is_fetched_again(
    setup: Setup, register: Register, tmp_path: Path
) -> None:
    register()
    setup.loader.refresh()
    _cut_off("arrays.npz")(tmp_path / "bundles" / NAME / "1")
    later = setup.restarted()
    later.loader.start_from_disk()
    assert later.version is None
    later.loader.refresh()
    assert later.version == "1"


def test_the_same_number_in_a_registry_set_up_anew_is_another_version(
    setup: Setup, register: Register, make_detector: MakeDetector, clock: Clock
) -> None:
    register()
    setup.loader.refresh()
    anew = MemoryRegistry(clock)
    register(make_detector(boundary=3.0), into=anew)
    setup.registry.registry = anew
    setup.loader.refresh()
    model = setup.slot.model("pump")
    assert model is not None
    assert (model.version, model.detector.boundary) == ("1", 3.0)


def test_a_model_taken_out_of_production_judges_no_more(
    setup: Setup, register: Register, registry: MemoryRegistry
) -> None:
    register()
    setup.loader.refresh()
    registry.set_stage(NAME, "1", Stage.ARCHIVED)
    setup.loader.refresh()
    assert setup.version is None
    later = setup.restarted()
    later.loader.start_from_disk()
    assert later.version is None


def test_a_registry_that_knows_nothing_of_a_model_does_not_withdraw_it(
    setup: Setup, register: Register, clock: Clock
) -> None:
    register()
    setup.loader.refresh()
    setup.registry.registry = MemoryRegistry(clock)
    setup.loader.refresh()
    assert setup.version == "1"


def test_trouble_with_one_model_does_not_keep_the_others_from_loading(
    setup: Setup, register: Register
) -> None:
    register(machine_type="fan", damage=_cut_off("arrays.npz"))
    register()
    setup.loader.refresh()
    assert setup.version == "1"


def test_a_name_that_no_machine_type_can_have_is_left_alone(
    setup: Setup, register: Register
) -> None:
    register()

    class Named(Interrupted):
        def models(self) -> Sequence[str]:
            return ["faultline-../../pump", "else", NAME]

    loader = ModelLoader(
        Named(setup.registry.registry),
        BundleShelf(setup._folder),
        setup.slot,
        announce=setup.events.append,
        metrics=setup.metrics,
        clock=setup._clock,
        poll_s=2.0,
        retry_s=300.0,
    )
    loader.refresh()
    assert list(setup.slot.loaded()) == ["pump"]


def test_a_machine_type_asked_for_in_vain_is_worth_one_look_at_once(setup: Setup) -> None:
    setup.slot.model("fan")
    assert setup.slot.wanted.is_set()
    setup.slot.wanted.clear()
    setup.slot.model("fan")
    assert not setup.slot.wanted.is_set()


def test_it_ends_when_told_to_however_long_it_waits_between_two_looks(
    registry: MemoryRegistry, tmp_path: Path, clock: Clock
) -> None:
    setup, stop = Setup(registry, tmp_path, clock, poll_s=3_600.0), threading.Event()
    loop = threading.Thread(target=setup.loader.run, args=(stop,))
    loop.start()
    assert setup.loader.settled.wait(_DEADLINE_S)
    stop.set()
    loop.join(_DEADLINE_S)
    ended = not loop.is_alive()
    # Lets a loop that did not hear it end too.
    setup.slot.wanted.set()
    loop.join()
    assert ended


def test_it_looks_again_when_asked_to(
    registry: MemoryRegistry, register: Register, tmp_path: Path, clock: Clock
) -> None:
    setup, stop = Setup(registry, tmp_path, clock, poll_s=3_600.0), threading.Event()
    loop = threading.Thread(target=setup.loader.run, args=(stop,))
    loop.start()
    try:
        assert setup.loader.settled.wait(_DEADLINE_S)
        register()
        setup.slot.wanted.set()
        until_s = time.monotonic() + _DEADLINE_S
        while setup.version is None and time.monotonic() < until_s:
            stop.wait(0.01)
        assert setup.version == "1"
    finally:
        stop.set()
        setup.slot.wanted.set()
        loop.join()
