"""Brings the versions behind an alias into a model slot, and keeps it going when it cannot.

A version is loaded beside the one that judges, verified, shelved, and only then swapped in. Runs in
a loop of its own, never in the stream's. There is one for champions and one for challengers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5

from faultline.errors import InvalidBundle, NotFound, Unavailable
from faultline.events import ModelEvent, ModelEventKind, machine_type_of
from faultline.ports.clock import Clock
from faultline.ports.registry import ModelVersion, ProductionModels
from faultline.telemetry import logger
from services.predictor.bundles import Bundles, gate_of, is_model_name, is_same
from services.predictor.metrics import Metrics
from services.predictor.ports import Reload, untraced
from services.predictor.shelf import BundleShelf
from services.predictor.slot import Loaded, ModelSlot, Origin

log = logger(__name__)

_NAMESPACE = UUID("0d5a8e52-6a53-4a6e-9df2-9f0f3f0f4c11")
_ACTOR = "predictor"
_TURN_S = 0.2


class Role(StrEnum):
    """Which alias is followed."""

    CHAMPION = "production"
    CHALLENGER = "staging"


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
    """Follows an alias of every registered model.

    Parameters
    ----------
    announce
        Publishes an event; raises `Unavailable` while it cannot.
    poll_s
        Between two looks at the aliases.
    retry_s
        After which a refused version is tried again.
    role
        Whose alias.
    reload
        Entered while a version is loaded.

    Attributes
    ----------
    settled
        Set after the first look at the registry, whatever came of it.
    """

    def __init__(
        self,
        registry: ProductionModels,
        shelf: BundleShelf,
        slot: ModelSlot,
        *,
        announce: Callable[[ModelEvent], None],
        metrics: Metrics,
        clock: Clock,
        poll_s: float,
        retry_s: float,
        role: Role = Role.CHAMPION,
        reload: Reload = untraced,
    ) -> None:
        self.settled = threading.Event()
        self._registry = registry
        self._bundles = Bundles(registry, shelf, clock)
        self._slot = slot
        self._announce = announce
        self._metrics = metrics
        self._role = role
        self._reload = reload
        champion = role is Role.CHAMPION
        self._info = metrics.model_info if champion else metrics.challenger_info
        self._clock = clock
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._refused: Mapping[str, Refusal] = {}
        self._unannounced: dict[str, ModelEvent] = {}
        self._in_trouble = False

    def refusals(self) -> Mapping[str, Refusal]:
        """The refused version of each model, where the one behind the alias is refused."""
        return self._refused

    def start_from_disk(self) -> None:
        """Let the last good versions judge until the registry is heard."""
        for name, loaded in self._bundles.kept():
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
            if not is_model_name(name):
                continue
            try:
                self._follow(name)
            except Unavailable as error:
                problems.append(f"{name}: {error}")
        self._metrics.registry_reachable.set(not problems)
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
        wanted = self._wanted(name)
        present = self._slot.loaded().get(machine_type_of(name))
        if wanted is None:
            if present is not None:
                self._withdraw(name, present)
            self._forget_refusal(name)
            return
        if present is not None and is_same(present, wanted):
            confirmed = replace(present, source=Origin.REGISTRY, gate=gate_of(wanted))
            if confirmed != present:
                self._swap(name, confirmed)
            self._forget_refusal(name)
            return
        if self._is_refused(wanted):
            return
        try:
            with self._reload(name, wanted.version):
                self._swap(name, self._bundles.get(wanted))
        except (InvalidBundle, NotFound, OSError) as error:
            self._refuse(wanted, str(error))
        else:
            if self._role is Role.CHAMPION:
                self._metrics.reloads.labels(name).inc()
            self._forget_refusal(name)

    def _wanted(self, name: str) -> ModelVersion | None:
        if self._role is Role.CHAMPION:
            return self._registry.production(name)
        return self._registry.staging(name)

    def _swap(self, name: str, loaded: Loaded) -> None:
        before = self._slot.loaded().get(machine_type_of(name))
        self._slot.swap(machine_type_of(name), loaded)
        if before is not None:
            self._info.remove(name, before.model.version, before.source)
        self._info.labels(name, loaded.model.version, loaded.source).set(1)
        if before is None or before.model.version != loaded.model.version:
            log.info(
                "model loaded",
                alias=self._role,
                model=name,
                version=loaded.model.version,
                source=loaded.source,
                before=None if before is None else before.model.version,
            )

    def _withdraw(self, name: str, present: Loaded) -> None:
        """The alias is gone while the model is there: promoted, or taken out by someone."""
        self._slot.withdraw(machine_type_of(name))
        self._bundles.forget(name)
        self._info.remove(name, present.model.version, present.source)
        # A challenger ends so by being promoted; without a champion nothing is judged.
        tell = log.warning if self._role is Role.CHAMPION else log.info
        tell("model withdrawn: no version has the alias", model=name, alias=self._role)

    def _is_refused(self, wanted: ModelVersion) -> bool:
        refusal = self._refused.get(wanted.name)
        return (
            refusal is not None
            and (refusal.version, refusal.run_id) == (wanted.version, wanted.run_id)
            and self._clock.monotonic_s() - refusal.at_s < self._retry_s
        )

    def _refuse(self, wanted: ModelVersion, reason: str) -> None:
        name, version = wanted.name, wanted.version
        before = self._refused.get(name)
        refusal = Refusal(
            name, version, wanted.run_id, reason,
            self._clock.now_ms(), self._clock.monotonic_s(),
        )  # fmt: skip
        self._refused = {**self._refused, name: refusal}
        if before is not None and before[:4] == refusal[:4]:
            return
        self._metrics.refusals.labels(name).inc()
        self._metrics.refused.labels(name, self._role).set(1)
        present = self._slot.loaded().get(machine_type_of(name))
        log.error(
            "version refused",
            alias=self._role,
            model=name,
            version=version,
            why=reason,
            goes_on=None if present is None else present.model.version,
        )
        event = ModelEvent(
            event_id=str(uuid5(_NAMESPACE, f"{name}|{version}|{wanted.run_id}|{reason}")),
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
            self._metrics.refused.labels(name, self._role).set(0)
            self._refused = {
                kept: refusal for kept, refusal in self._refused.items() if kept != name
            }

    def _announce_refusals(self) -> None:
        for event_id, event in list(self._unannounced.items()):
            self._announce(event)
            del self._unannounced[event_id]
