"""Promotion: the one place that decides which version comes into Production.

It knows what may be asked for; how a change is made, and what others did, it leaves to others.
"""

from __future__ import annotations

from typing import NamedTuple

from faultline.errors import Conflict, Unavailable
from faultline.ports.promotions import Promotion, PromotionKind, PromotionLog, TurnTaken
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from faultline.telemetry import logger
from services.trainer.change import Changes, Wanted
from services.trainer.change_events import derived
from services.trainer.permission import require_earlier, require_passed
from services.trainer.reconciliation import Reconciler
from services.trainer.rollback import nowhere_back, version_before
from services.trainer.succession import is_at, is_live, live_version

log = logger(__name__)

_LOOKED_THROUGH = 1_000
_PATIENCE_S = 1.0


class Move(NamedTuple):
    """What a request to move a version came to.

    Attributes
    ----------
    previous_version
        In Production before, and archived by this; None when there was none.
    promotion_id
        Of the row in the log; None when the move was not to Production.
    changed
        Whether anything was; else it was there already, and nothing is in the log of this request.
    since_ms
        When the version came into Production; None when the move was not to Production.
    """

    version: ModelVersion
    previous_version: str | None
    promotion_id: str | None
    changed: bool
    since_ms: int | None


class Promotions:
    """Moves versions. Safe to share between threads, and beside others in other processes.

    Of two who want to change a model's Production at once, one does and the other is told so by
    `TurnTaken`: when the other has done it since this one began to look, or is at it for longer
    than a moment. What was cut off is completed by the reconciler, or by whoever comes next.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        log: PromotionLog,
        changes: Changes,
        reconciler: Reconciler,
    ) -> None:
        self._registry = registry
        self._log = log
        self._changes = changes
        self._reconciler = reconciler

    def move(
        self, name: str, version: str, stage: Stage, *, actor: str, reason: str, force: bool
    ) -> Move:
        """Move a version to a stage, as a person asks for.

        Raises
        ------
        Conflict
            When the gate has not passed the version and `force` is not set; when it would leave
            Production empty; or when another changes Production at the same time.
        NotFound
            When there is no such version.
        Unavailable
            When a dependency does not answer; what was begun is completed later.
        """
        known = self._changes.known(name)
        present = self._registry.version(name, version)
        if stage is Stage.PRODUCTION:
            if not force and not is_live(present):
                require_passed(present)
            done = self._change(
                present, PromotionKind.PROMOTION, known, actor=actor, reason=reason, forced=force
            )
            return self._answer(done, known)
        with self._changes.turn(name, _PATIENCE_S):
            present = self._registry.version(name, version)
            if is_live(present):
                raise Conflict(
                    f"version {version} of {name} is in Production; promote another version, which "
                    "archives this one"
                )
            changed = not is_at(present, stage)
            if changed and stage is Stage.ARCHIVED:
                self._changes.archive(name, version, actor=actor, reason=reason)
            elif changed:
                self._registry.set_stage(name, version, stage)
        self._announce(name)
        return Move(self._registry.version(name, version), None, None, changed, None)

    def roll_back(self, name: str, to: str | None, *, actor: str, reason: str) -> Move:
        """Put an earlier version into Production again; the gate is not asked.

        Parameters
        ----------
        to
            One that was there before, or an earlier one that the gate has passed; None is the one
            that was there before the present one.

        Raises
        ------
        Conflict
            When there is no earlier version, or `to` is none that may come back so; or when another
            changes Production at the same time.
        NotFound
            When there is no such version.
        Unavailable
            When a dependency does not answer; what was begun is completed later.
        """
        known = self._changes.known(name)
        versions = {one.version: one for one in self._registry.versions(name)}
        history = self._log.list(name, _LOOKED_THROUGH)
        if to is None:
            to = version_before(history, versions)
            if to is None:
                raise Conflict(nowhere_back(name, history, versions))
        target = versions[to] if to in versions else self._registry.version(name, to)
        live = live_version(versions.values())
        require_earlier(target, live, history)
        return self._answer(
            self._change(target, PromotionKind.ROLLBACK, known, actor=actor, reason=reason), known
        )

    def promote(
        self, name: str, version: str, *, actor: str, reason: str, once_for: str | None = None
    ) -> Promotion:
        """Put a version into Production, whatever its gate says; returns the row of the log.

        Parameters
        ----------
        once_for
            The job that asks. Its promotion is done once: when it is in the log already, and
            somebody has promoted another version since, that one stays. It waits for others.

        Raises
        ------
        TurnTaken
            When another changes Production at the same time, and no job asks.
        NotFound
            When there is no such version.
        Unavailable
            When a dependency does not answer; or another is at it, and a job asks.
        """
        known = None if once_for is not None else self._changes.known(name)
        present = self._registry.version(name, version)
        try:
            return self._change(
                present,
                PromotionKind.PROMOTION,
                known,
                actor=actor,
                reason=reason,
                once_for=once_for,
            )
        except TurnTaken as error:
            if once_for is None:
                raise
            raise Unavailable(str(error)) from error

    def promoted_for(self, job_id: str, name: str, version: str) -> Promotion | None:
        """The change by which `promote` has put a version into Production once for a job."""
        wanted = _promotion_id(name, version, None, job_id)
        history = self._log.list(name, _LOOKED_THROUGH)
        return next((one for one in history if one.promotion_id == wanted), None)

    def promote_in_turn(
        self,
        version: ModelVersion,
        newest: Promotion | None,
        *,
        actor: str,
        reason: str,
        once_for: str,
    ) -> Promotion:
        """Do what `promote` does for a job, for a caller who has the model's turn.

        Its events are published by `Changes.announce`, after the turn.

        Parameters
        ----------
        newest
            What `Reconciler.follow` has returned in this turn.
        """
        return self._put(
            version,
            PromotionKind.PROMOTION,
            newest,
            actor=actor,
            reason=reason,
            once_for=once_for,
        )

    def _change(
        self,
        version: ModelVersion,
        kind: PromotionKind,
        known: frozenset[str] | None,
        *,
        actor: str,
        reason: str,
        forced: bool = False,
        once_for: str | None = None,
    ) -> Promotion:
        """Make a change; `known` are those that whoever asks can have known of, None is all."""
        name = version.name
        with self._changes.turn(name, _PATIENCE_S):
            since = self._changes.newest(name)
            newest = self._reconciler.follow(name)
            overtaken = known is not None and since is not None and since.promotion_id not in known
            if (
                since is not None
                and overtaken
                and self._done(name, version.version, newest, once_for) is None
            ):
                raise TurnTaken(_overtaken(name, since))
            done = self._put(
                version,
                kind,
                newest,
                actor=actor,
                reason=reason,
                forced=forced,
                once_for=once_for,
            )
        self._announce(name)
        return done

    def _announce(self, name: str) -> None:
        try:
            self._changes.announce(name)
        except Unavailable as error:
            log.warning("a change is announced later", model=name, why=str(error))

    def _put(
        self,
        version: ModelVersion,
        kind: PromotionKind,
        newest: Promotion | None,
        *,
        actor: str,
        reason: str,
        forced: bool = False,
        once_for: str | None = None,
    ) -> Promotion:
        """Put a version into Production, unless that is done already; in the model's turn."""
        name = version.name
        return self._done(name, version.version, newest, once_for) or self._changes.carry_out(
            name,
            Wanted(
                promotion_id=_promotion_id(name, version.version, newest, once_for),
                version=version,
                kind=kind,
                actor=actor,
                reason=reason,
                forced=forced,
            ),
        )

    def _done(
        self, name: str, version: str, newest: Promotion | None, once_for: str | None
    ) -> Promotion | None:
        """The change that has put the version where it is wanted; None when there is none."""
        if newest is not None and newest.to_version == version:
            return newest
        return None if once_for is None else self.promoted_for(once_for, name, version)

    def _answer(self, done: Promotion, known: frozenset[str]) -> Move:
        assert done.to_version is not None
        version = self._registry.version(done.model_name, done.to_version)
        changed = done.promotion_id not in known
        return Move(version, done.from_version, done.promotion_id, changed, done.at_ms)


def _promotion_id(name: str, version: str, newest: Promotion | None, once_for: str | None) -> str:
    if once_for is not None:
        return derived(f"{name}|{version}|job {once_for}")
    return derived(f"{name}|{version}|{newest.promotion_id if newest else 'first'}")


def _overtaken(name: str, since: Promotion) -> str:
    return (
        f"Production of {name} was changed at the same time: version {since.to_version} was put "
        f"there by {since.actor}; look at its history, then ask again"
    )
