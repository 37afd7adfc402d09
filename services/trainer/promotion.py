"""Promotion: the one place that decides and carries out which version is in Production.

It knows the registry, the log of promotions and the events, and not how a version came about.
"""

from __future__ import annotations

import threading
from typing import NamedTuple
from uuid import UUID, uuid5

from faultline.errors import Conflict
from faultline.events import ModelEvent, ModelEventKind
from faultline.ports.clock import Clock
from faultline.ports.jobs import Promotion, PromotionLog
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from services.trainer.announcer import Announcer
from services.trainer.record import GATE_REASON_TAG, GATE_TAG, PASSED

_NAMESPACE = UUID("6f0d2f55-9a0f-4c8b-8a47-6d5e3c1b7a90")
_PRODUCTION = "production"
_LOOKED_THROUGH = 1_000


class Move(NamedTuple):
    """What a request to move a version came to.

    Attributes
    ----------
    previous_version
        In Production before, and archived by this; None when there was none.
    promotion_id
        Of the row in the log; None when the move was not to Production.
    """

    version: ModelVersion
    previous_version: str | None
    promotion_id: str | None


class Promotions:
    """Moves versions. Safe to share between threads.

    A promotion is carried out in this order, and each step may be repeated:

    1. the registry: the alias `production` first, then the stages, the former version Archived;
    2. the row in the log, whose id is the same in every repetition;
    3. the events, whose ids come from the row's.

    Cut off after any of them, the promotion is completed by asking for it again: the log's newest
    row then still names the version before, so that the row and the events come out the same.
    """

    def __init__(
        self, registry: ModelRegistry, log: PromotionLog, announcer: Announcer, clock: Clock
    ) -> None:
        self._registry = registry
        self._log = log
        self._announcer = announcer
        self._clock = clock
        self._one_at_a_time = threading.Lock()

    def move(
        self, name: str, version: str, stage: Stage, *, actor: str, reason: str, force: bool
    ) -> Move:
        """Move a version to a stage, as a person asks for.

        Raises
        ------
        Conflict
            When the gate has not passed the version and `force` is not set; or when it would leave
            Production empty.
        NotFound
            When there is no such version.
        Unavailable
            When a dependency does not answer; asking again completes what was begun.
        """
        present = self._registry.version(name, version)
        if stage is Stage.PRODUCTION:
            if not force and _PRODUCTION not in present.aliases:
                require_passed(present)
            done = self.promote(name, version, actor=actor, reason=reason)
            return Move(self._registry.version(name, version), done.from_version, done.promotion_id)
        if _PRODUCTION in present.aliases:
            raise Conflict(
                f"version {version} of {name} is in Production; promote another version, which "
                "archives this one"
            )
        moved = self._registry.set_stage(name, version, stage)
        if stage is Stage.ARCHIVED:
            self._announcer.announce(
                [
                    ModelEvent(
                        event_id=_derived(f"archived|{name}|{version}|{self._clock.now_ms()}"),
                        kind=ModelEventKind.ARCHIVED,
                        model_name=name,
                        model_version=version,
                        at_ms=self._clock.now_ms(),
                        actor=actor,
                        reason=reason,
                    )
                ]
            )
        return Move(moved, None, None)

    def promote(
        self, name: str, version: str, *, actor: str, reason: str, once_for: str | None = None
    ) -> Promotion:
        """Put a version into Production, whatever its gate says; returns the row of the log.

        Parameters
        ----------
        once_for
            The job that asks. Its promotion is done once: when it is in the log already, and
            somebody has promoted another version since, that one stays.

        Raises
        ------
        NotFound
            When there is no such version.
        Unavailable
            When a dependency does not answer; asking again completes what was begun.
        """
        with self._one_at_a_time:
            rows = self._log.list(name, _LOOKED_THROUGH)
            newest = rows[0] if rows else None
            if once_for is None:
                promotion_id = _derived(
                    f"{name}|{version}|{newest.promotion_id if newest else 'first'}"
                )
            else:
                promotion_id = _derived(f"{name}|{version}|job {once_for}")
            done = next((row for row in rows if row.promotion_id == promotion_id), None)
            before = self._registry.production(name)
            if done is None and newest is not None and newest.to_version == version:
                # Nothing to log: it was put there, and is still or again to be there.
                done = newest if before is not None and before.version == version else None
            if done is None:
                done = self._carry_out(
                    Promotion(
                        promotion_id=promotion_id,
                        model_name=name,
                        to_version=version,
                        from_version=_version_before(version, before, newest),
                        # A clock that was set back must not make this row older than the newest.
                        at_ms=max(self._clock.now_ms(), newest.at_ms if newest else 0),
                        actor=actor,
                        reason=reason,
                    )
                )
            elif done is newest:
                self._registry.promote(name, version)
            self._announcer.announce(_events(done))
            return done

    def _carry_out(self, promotion: Promotion) -> Promotion:
        self._registry.promote(promotion.model_name, promotion.to_version)
        self._log.append(promotion)
        return promotion


def require_passed(version: ModelVersion) -> None:
    """Raise `Conflict`, saying why, when the gate has not passed a version."""
    gate = version.tags.get(GATE_TAG)
    if gate == PASSED:
        return
    told = (
        f"the gate has {gate} it: {version.tags.get(GATE_REASON_TAG, 'no reason is recorded')}"
        if gate
        else "no gate has judged it"
    )
    raise Conflict(
        f"version {version.version} of {version.name} cannot go into Production: {told}; "
        "train a better one, or set force and say the reason"
    )


def _version_before(
    version: str, before: ModelVersion | None, newest: Promotion | None
) -> str | None:
    """Which version this one follows; the log's when a repetition finds the alias moved already."""
    if before is not None and before.version != version:
        return before.version
    if before is not None and newest is not None and newest.to_version != version:
        return newest.to_version
    return None


def _events(promotion: Promotion) -> list[ModelEvent]:
    told = [
        ModelEvent(
            event_id=_derived(f"{promotion.promotion_id}|promoted"),
            kind=ModelEventKind.PROMOTED,
            model_name=promotion.model_name,
            model_version=promotion.to_version,
            at_ms=promotion.at_ms,
            actor=promotion.actor,
            reason=promotion.reason,
            previous_version=promotion.from_version,
        )
    ]
    if promotion.from_version is not None:
        told.append(
            ModelEvent(
                event_id=_derived(f"{promotion.promotion_id}|archived"),
                kind=ModelEventKind.ARCHIVED,
                model_name=promotion.model_name,
                model_version=promotion.from_version,
                at_ms=promotion.at_ms,
                actor=promotion.actor,
                reason=f"version {promotion.to_version} took its place",
            )
        )
    return told


def _derived(text: str) -> str:
    return str(uuid5(_NAMESPACE, text))
