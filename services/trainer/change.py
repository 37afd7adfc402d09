"""A change of Production, carried out step by step so that it may be cut off anywhere.

It knows the registry, the log and the events, and not who wants a change or why.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from msgspec import structs

from faultline.errors import Conflict, NotFound, Unavailable
from faultline.ports.clock import Clock
from faultline.ports.promotions import (
    Promotion,
    PromotionKind,
    PromotionLog,
    PromotionState,
    Turn,
    TurnTaken,
)
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from faultline.telemetry import logger
from services.trainer.change_events import derived
from services.trainer.outbox import Outbox
from services.trainer.record import GATE_REASON_TAG, GATE_TAG

log = logger(__name__)

FORCED_TAG = "forced"
EXTERNAL_TAG = "external"
_LOOK_EVERY_S = 0.05
_PUT_BACK_S = 10.0


class Wanted(NamedTuple):
    """A change that somebody has decided on.

    Attributes
    ----------
    version
        To be in Production; None when there is to be none.
    """

    promotion_id: str
    version: ModelVersion | None
    kind: PromotionKind
    actor: str
    reason: str
    forced: bool = False


class Changes:
    """Makes changes of Production. Safe to share between threads and between processes.

    In this order, each step repeatable:

    1. a row in the log says what is intended (`begun`);
    2. the registry: the alias `production` first, then the stages, the former version Archived;
    3. the row says that it has happened (`done`);
    4. the events, whose ids come from the row's, and the row says that they are published.

    Steps 1 to 3 are made in the model's turn, which only one process has. What was cut off there is
    finished or taken back by whoever has the next turn, see `complete`; events by `announce`.

    A turn may be lost: its connection ends, and another has it while this one hangs in the
    registry. It is looked at before every step, and whose row was meanwhile finished or taken back
    by another has not won, and puts back what it may have moved since.
    """

    def __init__(
        self, registry: ModelRegistry, log: PromotionLog, outbox: Outbox, clock: Clock
    ) -> None:
        self._registry = registry
        self._log = log
        self._outbox = outbox
        self._clock = clock
        self._mine = _Turns()

    def newest(self, name: str) -> Promotion | None:
        """The last change of a model, be it only begun; None when there has been none."""
        for change in self._log.unfinished(name):
            if change.state is PromotionState.BEGUN and change.kind is not PromotionKind.ARCHIVED:
                return change
        return next(iter(self._log.list(name, 1)), None)

    def known(self, name: str) -> frozenset[str]:
        """Ids of the changes from which one that others begin after this moment can be told."""
        last = [*self._log.unfinished(name), *self._log.list(name, 1)]
        return frozenset(change.promotion_id for change in last)

    @contextmanager
    def turn(self, name: str, patience_s: float = 0.0) -> Iterator[None]:
        """Be the only one who changes the model; what was cut off is completed first.

        Parameters
        ----------
        patience_s
            How long to wait for whoever is at it.

        Raises
        ------
        TurnTaken
            When another is at it all that time.
        Unavailable
            When a dependency does not answer, or the turn was lost while something was completed.
        """
        until_s = self._clock.monotonic_s() + patience_s
        lost = self._mine.held.get(name)
        with ExitStack() as stack:
            while True:
                try:
                    self._mine.held[name] = stack.enter_context(self._log.turn(name))
                    break
                except TurnTaken:
                    if self._clock.monotonic_s() >= until_s:
                        raise
                self._clock.sleep(_LOOK_EVERY_S)
            stack.callback(self._mine.put_back, name, lost)
            self._complete(name)
            yield

    def carry_out(self, name: str, wanted: Wanted) -> Promotion:
        """Make a change but for its events, and return its row.

        In the model's turn, when the log's newest change agrees with the registry, or is what this
        one brings up to it.

        Raises
        ------
        NotFound, Conflict
            When the registry refuses; nothing is changed then.
        Unavailable
            When it was cut off: it is completed later.
        """
        newest = self.newest(name)
        tags = {} if wanted.version is None else wanted.version.tags
        begun = Promotion(
            promotion_id=wanted.promotion_id,
            model_name=name,
            to_version=None if wanted.version is None else wanted.version.version,
            from_version=None if newest is None else newest.to_version,
            # A clock that was set back must not make this row older than the newest.
            at_ms=max(self._clock.now_ms(), 0 if newest is None else newest.at_ms),
            actor=wanted.actor,
            reason=wanted.reason,
            kind=wanted.kind,
            forced=wanted.forced,
            gate=tags.get(GATE_TAG),
            gate_reason=tags.get(GATE_REASON_TAG),
        )
        return self._begin(begun)

    def archive(self, name: str, version: str, *, actor: str, reason: str) -> None:
        """Archive a version beside Production, in the model's turn; raises as `carry_out` does."""
        at_ms = self._clock.now_ms()
        self._begin(
            Promotion(
                promotion_id=derived(f"archived|{name}|{version}|{at_ms}"),
                model_name=name,
                to_version=None,
                from_version=version,
                at_ms=at_ms,
                actor=actor,
                reason=reason,
                kind=PromotionKind.ARCHIVED,
            )
        )

    def announce(self, name: str | None = None) -> None:
        """Publish what has happened and is not announced yet; see `Outbox.announce`."""
        self._outbox.announce(name)

    def _begin(self, begun: Promotion) -> Promotion:
        self._mine.held[begun.model_name].require()
        self._log.begin(begun)
        return self._make(begun, begun.at_ms)

    def _put_back(self, name: str, version: str | None) -> None:
        """Undo what was moved after the turn was lost: what the log says is the truth."""
        with self.turn(name, _PUT_BACK_S):
            newest = self.newest(name)
            wanted = None if newest is None else newest.to_version
            if wanted not in {None, version} and self._live(name) == version:
                self._registry.promote(name, str(wanted))
                log.warning("a promotion that came too late was undone", model=name, of=version)

    def _complete(self, name: str) -> None:
        """Finish what someone who is gone has begun; take it back where it cannot be finished."""
        for begun in self._log.unfinished(name):
            if begun.state is not PromotionState.BEGUN:
                continue
            live = self._live(name)
            told = {"model": name, "from": begun.from_version, "to": begun.to_version}
            beside = begun.kind is PromotionKind.ARCHIVED
            if not beside and live not in {begun.from_version, begun.to_version}:
                self._log.withdraw(begun.promotion_id)
                log.warning("promotion taken back: another version is live", **told, live=live)
                continue
            made = not beside and live == begun.to_version
            try:
                self._make(begun, begun.at_ms if made else max(self._clock.now_ms(), begun.at_ms))
            except TurnTaken:
                self._mine.held[name].require()
                # Whoever had begun it was not gone.
                continue
            except (NotFound, Conflict) as error:
                log.warning("promotion taken back", **told, why=str(error))
            else:
                log.info("promotion completed that was cut off", **told)

    def _make(self, begun: Promotion, at_ms: int) -> Promotion:
        turn = self._mine.held[begun.model_name]
        turn.require()
        try:
            self._move(begun)
        except (NotFound, Conflict) as error:
            beside = begun.kind is PromotionKind.ARCHIVED
            if beside or self._live(begun.model_name) != begun.to_version:
                self._log.withdraw(begun.promotion_id)
                raise
            # The alias is the truth, and it is there; reconciling goes on trying the stages.
            log.warning("stages cannot be moved", model=begun.model_name, why=str(error))
        if not self._log.finish(begun.promotion_id, at_ms):
            try:
                turn.require()
            except Unavailable:
                self._put_back(begun.model_name, begun.to_version)
            raise TurnTaken(
                f"another changed Production of {begun.model_name} while the registry took long; "
                "look at its history, then ask again"
            )
        return structs.replace(begun, state=PromotionState.DONE, at_ms=at_ms)

    def _move(self, change: Promotion) -> None:
        name = change.model_name
        if change.kind is PromotionKind.ARCHIVED:
            assert change.from_version is not None
            if self._live(name) == change.from_version:
                raise Conflict(f"version {change.from_version} of {name} is in Production by now")
            self._registry.set_stage(name, change.from_version, Stage.ARCHIVED)
        elif change.to_version is not None:
            tags = _remarks(change)
            if tags:
                self._registry.set_tags(name, change.to_version, tags)
            self._registry.promote(name, change.to_version)
        elif change.from_version is not None and self._exists(name, change.from_version):
            self._registry.set_stage(name, change.from_version, Stage.ARCHIVED)

    def _exists(self, name: str, version: str) -> bool:
        try:
            self._registry.version(name, version)
        except NotFound:
            return False
        return True

    def _live(self, name: str) -> str | None:
        live = self._registry.production(name)
        return None if live is None else live.version


class _Turns(threading.local):
    """The turns that this thread has, by model."""

    def __init__(self) -> None:
        self.held: dict[str, Turn] = {}

    def put_back(self, name: str, lost: Turn | None) -> None:
        """End a turn, be it one that was taken because the one before it was lost."""
        if lost is None:
            del self.held[name]
        else:
            self.held[name] = lost


def _remarks(change: Promotion) -> dict[str, str]:
    """Tags by which the version says that it came into Production otherwise than by its gate."""
    tags = {}
    if change.forced:
        tags[FORCED_TAG] = f"by {change.actor}: {change.reason}"
    if change.kind is PromotionKind.EXTERNAL:
        tags[EXTERNAL_TAG] = change.reason
    return tags
