"""Reconciling: what other clients of the registry do to aliases and stages is followed.

The alias `production` is the truth, and the stages mirror it. The tag `stage`, which the registry
writes with every stage of ours, tells whether a stage was changed by hand.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from faultline.errors import Conflict, NotFound
from faultline.ports.promotions import (
    Promotion,
    PromotionKind,
    PromotionLog,
    PromotionState,
    TurnTaken,
)
from faultline.ports.registry import ModelRegistry, ModelVersion, Stage
from faultline.service import repeating
from faultline.telemetry import logger
from services.trainer.change import Changes, Wanted
from services.trainer.change_events import derived
from services.trainer.record import GATE_TAG
from services.trainer.succession import is_live, live_version
from services.trainer.wording import gate_said

log = logger(__name__)

EXTERNAL = "external"
_STAGING = "staging"
_STAGE_TAG = "stage"


class Reconciler:
    """Looks at every model again and again; completes what was cut off, follows what others did.

    Parameters
    ----------
    every_s
        Between two looks.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        log: PromotionLog,
        changes: Changes,
        every_s: float,
    ) -> None:
        self._registry = registry
        self._log = log
        self._changes = changes
        self._every_s = every_s

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop. A dependency that is down is waited for."""
        repeating(self.look, stop, self._every_s, "models cannot be reconciled")

    def look(self) -> None:
        """Look at every model once.

        Raises
        ------
        Unavailable
            When a dependency does not answer; the next look goes on.
        """
        cut_off = {
            change.model_name
            for change in self._log.unfinished()
            if change.state is PromotionState.BEGUN
        }
        # One that is live by the log and no longer registered was deleted.
        names = cut_off.union(self._registry.models(), self._log.live_models())
        for name in sorted(names):
            try:
                if name in cut_off or self._is_off(name):
                    with self._changes.turn(name):
                        self.follow(name)
            except TurnTaken:
                # Whoever has the turn looks, too; what is left is found the next time.
                continue
            except (NotFound, Conflict) as error:
                log.warning("model cannot be reconciled", model=name, why=str(error))
        self._changes.announce()

    def follow(self, name: str) -> Promotion | None:
        """Record and follow what others did to a model, in its turn; returns its newest change."""
        newest = self._changes.newest(name)
        versions = self._versions(name)
        logged = None if newest is None else newest.to_version
        live = live_by_others(versions, logged)
        if (live.version if live is not None else None) != logged:
            newest = self._changes.carry_out(name, _wanted(live, newest, versions))
            log.warning(
                "Production was changed by another client",
                model=name,
                to=newest.to_version,
                gate=newest.gate or "not judged",
            )
            versions = self._versions(name)
        elif live is not None and not _is_mirrored(versions, live):
            log.warning("stages are set back to what the alias says", model=name)
            self._registry.promote(name, live.version)
            versions = self._versions(name)
        for version in versions:
            self._follow_beside(version, newest)
        return newest

    def _follow_beside(self, version: ModelVersion, newest: Promotion | None) -> None:
        """Follow what was done to a version that is not in Production."""
        stage = stage_by_others(version)
        if stage is None:
            return
        replaced = newest is not None and newest.from_version == version.version
        if stage is Stage.ARCHIVED and not replaced:
            self._changes.archive(
                version.name,
                version.version,
                actor=EXTERNAL,
                reason="archived by another client of the registry",
            )
        else:
            self._registry.set_stage(version.name, version.version, stage)
        log.info("stage was changed by another client", model=version.name, to=str(stage))

    def _is_off(self, name: str) -> bool:
        newest = self._changes.newest(name)
        versions = self._versions(name)
        logged = None if newest is None else newest.to_version
        live = live_by_others(versions, logged)
        return (
            (live.version if live is not None else None) != logged
            or (live is not None and not _is_mirrored(versions, live))
            or any(stage_by_others(version) is not None for version in versions)
        )

    def _versions(self, name: str) -> Sequence[ModelVersion]:
        try:
            return self._registry.versions(name)
        except NotFound:
            return ()


def live_by_others(versions: Sequence[ModelVersion], logged: str | None) -> ModelVersion | None:
    """The version that is to be in Production, by alias and stages.

    Where the alias is where the log left it, or nowhere, a version that was put into the stage
    Production by hand is meant; else the alias is the truth.

    Parameters
    ----------
    versions
        All, newest first.
    logged
        The version in Production as the log has it.
    """
    live = live_version(versions)
    by_hand = next(
        (
            one
            for one in versions
            if one.stage is Stage.PRODUCTION
            and one.version != logged
            and one.tags.get(_STAGE_TAG) != Stage.PRODUCTION
        ),
        None,
    )
    if by_hand is not None and (live is None or live.version == logged):
        return by_hand
    return live


def stage_by_others(version: ModelVersion) -> Stage | None:
    """The stage that another client gave a version beside Production, by stage or alias.

    None when it has the one that we gave it.
    """
    if is_live(version) or version.stage is Stage.PRODUCTION:
        return None
    ours = version.tags.get(_STAGE_TAG)
    if ours is not None and version.stage != ours:
        return version.stage
    if _STAGING in version.aliases and version.stage is not Stage.STAGING:
        return Stage.STAGING
    return None


def _is_mirrored(versions: Sequence[ModelVersion], live: ModelVersion) -> bool:
    return (
        live.stage is Stage.PRODUCTION
        and live.tags.get(_STAGE_TAG) == Stage.PRODUCTION
        and _STAGING not in live.aliases
        and all(
            one.stage is not Stage.PRODUCTION for one in versions if one.version != live.version
        )
    )


def _wanted(
    live: ModelVersion | None, newest: Promotion | None, versions: Sequence[ModelVersion]
) -> Wanted:
    follows = "first" if newest is None else newest.promotion_id
    if live is None:
        logged = None if newest is None else newest.to_version
        what = "the alias production was removed"
        if not versions:
            what = "the model was deleted"
        elif logged not in {one.version for one in versions}:
            what = f"version {logged} was deleted"
        reason = f"{what} by another client of the registry"
    else:
        gate = live.tags.get(GATE_TAG)
        reason = "moved by another client of the registry; " + (gate_said(gate))
    return Wanted(
        promotion_id=derived(f"external|{live.version if live else None}|{follows}|"),
        version=live,
        kind=PromotionKind.EXTERNAL,
        actor=EXTERNAL,
        reason=reason,
    )
