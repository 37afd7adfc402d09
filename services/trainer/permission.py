"""Permission: which versions may come into Production when a person asks, and why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from faultline.errors import Conflict
from faultline.ports.promotions import Promotion, PromotionKind
from faultline.ports.registry import ModelVersion
from services.trainer.record import GATE_REASON_TAG, GATE_TAG, PASSED
from services.trainer.wording import gate_said


def require_passed(version: ModelVersion) -> None:
    """Raise `Conflict`, saying why, when the gate has not passed a version."""
    gate = version.tags.get(GATE_TAG)
    if gate == PASSED:
        return
    told = gate_said(gate)
    if gate:
        told += f": {version.tags.get(GATE_REASON_TAG, 'no reason is recorded')}"
    raise Conflict(
        f"version {version.version} of {version.name} cannot go into Production: {told}; "
        'train a better one, or promote it all the same: --force --reason "..." (over HTTP `force` '
        "and `reason`)"
    )


def require_earlier(
    target: ModelVersion, live: ModelVersion | None, history: Sequence[Promotion]
) -> None:
    """Raise `Conflict` when a version may not come back by a rollback."""
    if live is not None and live.version == target.version:
        if history and (history[0].to_version, history[0].kind) == (
            target.version,
            PromotionKind.ROLLBACK,
        ):
            # Asked for again, as its answer was lost.
            return
        raise Conflict(
            f"version {target.version} of {target.name} is in Production already; name an earlier "
            "one, or none for the one before it"
        )
    if any(one.to_version == target.version for one in history):
        return
    earlier = live is not None and int(target.version) < int(live.version)
    if not (earlier and target.tags.get(GATE_TAG) == PASSED):
        raise Conflict(
            f"version {target.version} of {target.name} was never in Production, so there is "
            "nothing to roll back to; promote it instead, which asks the gate"
        )
