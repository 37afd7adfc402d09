"""Brings the Production versions into the model slot, and keeps the slot going when it cannot.

A version is loaded beside the one that judges, verified, shelved, and only then swapped in. Runs in
a loop of its own, never in the stream's.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid5

from faultline.bundle import read_bundle
from faultline.errors import InvalidBundle, NotFound, Unavailable
from faultline.events import ModelEvent, ModelEventKind, machine_type_of
from faultline.judge import Model
from faultline.ports.clock import Clock
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.telemetry import logger
from services.predictor.metrics import Metrics
from services.predictor.shelf import BundleShelf
from services.predictor.slot import Loaded, ModelSlot, Origin

log = logger(__name__)

SUM_TAG = "bundle_sha256"
"""Version tag with the sum of the bundle's manifest, as the trainer registered it."""
_NAMESPACE = UUID("0d5a8e52-6a53-4a6e-9df2-9f0f3f0f4c11")
_MODEL_NAME = re.compile(r"faultline-[a-z0-9_-]{1,63}")
_VERSION = re.compile(r"[0-9]{1,18}")
_ACTOR = "predictor"
_TURN_S = 0.2


class Refusal(NamedTuple):
    """A version that was not taken.

    Attributes
    ----------
    run_id
        Whose it is: a registry set up anew may give the number to another.
    at_ms
        When, milliseconds since the epoch; `at_s` the same on the monotonic clock.
    """

    name: str
    version: str
    run_id: str
    reason: str
    at_ms: int
    at_s: float


class ModelLoader:
    """Follows the alias `production` of every registered model.

    Parameters
    ----------
    announce
        Publishes an event; raises `Unavailable` while it cannot.
    poll_s
        Between two looks at the aliases.
    retry_s
        After which a refused version is tried again.

    Attributes
    ----------
    settled
        Set after the first look at the registry, whatever came of it.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        shelf: BundleShelf,
        slot: ModelSlot,
        *,
        announce: Callable[[ModelEvent], None],
        metrics: Metrics,
        clock: Clock,
        poll_s: float,
        retry_s: float,
    ) -> None:
        self.settled = threading.Event()
        self._registry = registry
        self._shelf = shelf
        self._slot = slot
        self._announce = announce
        self._metrics = metrics
        self._clock = clock
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._refused: Mapping[str, Refusal] = {}
        self._unannounced: dict[str, ModelEvent] = {}
        self._in_trouble = False

    def refusals(self) -> Mapping[str, Refusal]:
        """The refused version of each model, where the one in Production is refused."""
        return self._refused

    def start_from_disk(self) -> None:
        """Let the last good versions judge until the registry is heard."""
        for name, version, folder in self._shelf.last_good():
            if _MODEL_NAME.fullmatch(name) is None:
                continue
            try:
                loaded = self._read(name, version, folder, Origin.DISK)
            except (InvalidBundle, OSError) as error:
                log.warning("kept model is broken", model=name, version=version, why=str(error))
            else:
                self._swap(name, loaded)

    def run(self, stop: threading.Event) -> None:
        """Look at the registry until told to stop: every `poll_s`, and whenever it is asked for."""
        while not stop.is_set():
            self.refresh()
            self.settled.set()
            self._wait(stop)

    def _wait(self, stop: threading.Event) -> None:
        """Wait for the next look: until it is time, is asked for, or nobody wants it any more."""
        until_s = time.monotonic() + self._poll_s
        while not stop.is_set():
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self._slot.wanted.wait(min(left_s, _TURN_S)):
                break
        self._slot.wanted.clear()

    def refresh(self) -> None:
        """Follow every alias once. A registry that is down leaves everything as it is."""
        problems: list[str] = []
        try:
            names = self._registry.models()
        except Unavailable as error:
            names = ()
            problems.append(str(error))
        for name in names:
            # A name that no machine type can have is not ours, whatever its prefix.
            if _MODEL_NAME.fullmatch(name) is None:
                continue
            try:
                self._follow(name)
            except Unavailable as error:
                problems.append(f"{name}: {error}")
        try:
            self._announce_refusals()
        except Unavailable as error:
            problems.append(str(error))
        self._say_once(problems)

    def _say_once(self, problems: Sequence[str]) -> None:
        if problems and not self._in_trouble:
            log.warning("models cannot be followed; the loaded ones go on", why=problems)
        elif self._in_trouble and not problems:
            log.info("models can be followed again")
        self._in_trouble = bool(problems)

    def _follow(self, name: str) -> None:
        production = self._registry.production(name)
        present = self._slot.loaded().get(machine_type_of(name))
        if production is None:
            if present is not None:
                self._withdraw(name, present)
            self._forget_refusal(name)
            return
        if present is not None and _is_loaded(present, production):
            if present.source is Origin.DISK:
                self._swap(
                    name,
                    Loaded(
                        present.model, present.bundle_sha256, present.loaded_at_ms, Origin.REGISTRY
                    ),
                )
            self._forget_refusal(name)
            return
        if self._is_refused(production):
            return
        try:
            loaded = self._load(production)
        except (InvalidBundle, NotFound, OSError) as error:
            self._refuse(production, str(error))
        else:
            self._swap(name, loaded)
            self._metrics.reloads.labels(name).inc()
            self._forget_refusal(name)

    def _load(self, production: ModelVersion) -> Loaded:
        name, version = production.name, production.version
        if _VERSION.fullmatch(version) is None:
            raise InvalidBundle(f"version {version!r} of {name} is no number")
        shelved = self._shelf.find(name, version)
        if shelved is not None:
            try:
                loaded = self._read(name, version, shelved, Origin.REGISTRY)
            except InvalidBundle as error:
                log.warning("kept model is broken", model=name, version=version, why=str(error))
            else:
                if _is_loaded(loaded, production):
                    self._shelf.remember(name, version)
                    return loaded
        with self._shelf.incoming() as folder:
            downloaded = self._registry.download(name, version, folder)
            loaded = self._read(name, version, downloaded, Origin.REGISTRY)
            if not _is_loaded(loaded, production):
                raise InvalidBundle(
                    f"bundle of {name} version {version} has the sum {loaded.bundle_sha256}, "
                    f"registered is {production.tags[SUM_TAG]}; it was altered, train anew"
                )
            self._shelf.put(name, version, downloaded)
        self._shelf.remember(name, version)
        return loaded

    def _read(self, name: str, version: str, folder: Path, source: Origin) -> Loaded:
        # Verifies every sum and scores the golden batch: what it returns is warm.
        bundle = read_bundle(folder)
        if bundle.manifest.machine_type != machine_type_of(name):
            raise InvalidBundle(
                f"bundle of {name} version {version} is of the machine type "
                f"{bundle.manifest.machine_type!r}"
            )
        return Loaded(
            Model(name, version, bundle.detector),
            bundle.sha256,
            self._clock.now_ms(),
            source,
        )

    def _swap(self, name: str, loaded: Loaded) -> None:
        before = self._slot.loaded().get(machine_type_of(name))
        self._slot.swap(machine_type_of(name), loaded)
        if before is not None:
            self._metrics.model_info.remove(name, before.model.version, before.source)
        self._metrics.model_info.labels(name, loaded.model.version, loaded.source).set(1)
        if before is None or before.model.version != loaded.model.version:
            log.info(
                "model loaded",
                model=name,
                version=loaded.model.version,
                source=loaded.source,
                before=None if before is None else before.model.version,
            )

    def _withdraw(self, name: str, present: Loaded) -> None:
        """The alias is gone while the model is there: someone took it out of Production."""
        self._slot.withdraw(machine_type_of(name))
        self._shelf.forget(name)
        self._metrics.model_info.remove(name, present.model.version, present.source)
        log.warning("model withdrawn: no version is in Production", model=name)

    def _is_refused(self, production: ModelVersion) -> bool:
        refusal = self._refused.get(production.name)
        return (
            refusal is not None
            and (refusal.version, refusal.run_id) == (production.version, production.run_id)
            and self._clock.monotonic_s() - refusal.at_s < self._retry_s
        )

    def _refuse(self, production: ModelVersion, reason: str) -> None:
        name, version = production.name, production.version
        before = self._refused.get(name)
        refusal = Refusal(
            name, version, production.run_id, reason,
            self._clock.now_ms(), self._clock.monotonic_s(),
        )  # fmt: skip
        self._refused = {**self._refused, name: refusal}
        if before is not None and before[:4] == refusal[:4]:
            return
        self._metrics.refusals.labels(name).inc()
        present = self._slot.loaded().get(machine_type_of(name))
        log.error(
            "version refused",
            model=name,
            version=version,
            why=reason,
            goes_on=None if present is None else present.model.version,
        )
        event = ModelEvent(
            event_id=str(uuid5(_NAMESPACE, f"{name}|{version}|{production.run_id}|{reason}")),
            kind=ModelEventKind.LOAD_REFUSED,
            model_name=name,
            model_version=version,
            at_ms=refusal.at_ms,
            actor=_ACTOR,
            reason=reason,
        )
        self._unannounced[event.event_id] = event

    def _forget_refusal(self, name: str) -> None:
        if name in self._refused:
            self._refused = {
                kept: refusal for kept, refusal in self._refused.items() if kept != name
            }

    def _announce_refusals(self) -> None:
        for event_id, event in list(self._unannounced.items()):
            self._announce(event)
            del self._unannounced[event_id]


def _is_loaded(loaded: Loaded, production: ModelVersion) -> bool:
    registered = production.tags.get(SUM_TAG)
    return loaded.model.version == production.version and registered in (
        None,
        loaded.bundle_sha256,
    )
