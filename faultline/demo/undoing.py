"""The rollback at the end: to the first version, with a reason, and what the history says of it."""

from __future__ import annotations

from faultline.client import PredictorClient, TrainerClient
from faultline.demo.lifecycle import ChangeReport, RollbackReport
from faultline.demo.report import NO_VERSION
from faultline.demo.waiting import Stalled, wait_until
from faultline.demo.worse_candidate import in_production
from faultline.errors import Conflict
from faultline.events import model_name
from faultline.ports.clock import Clock

ROLLBACK_REASON = "the demonstration: back to what was known to work"
_RELOAD_S = 30.0


def roll_back(
    machine_type: str, *, trainer: TrainerClient, predictor: PredictorClient, clock: Clock
) -> RollbackReport:
    """Put the version before into Production again, and read the history."""
    name = model_name(machine_type)
    before = in_production(trainer, name)
    refusal = ""
    try:
        trainer.roll_back(name, reason=ROLLBACK_REASON, requested_by="demo")
    except Conflict as error:
        # That there is nothing to go back to is for the expectations to say.
        refusal = str(error)
    after = in_production(trainer, name)
    try:
        wait_until(
            lambda: predictor.live_version(machine_type) == after,
            f"the predictor to judge by version {after}",
            clock,
            patience_s=_RELOAD_S,
        )
    except Stalled as error:
        refusal = str(error)
    changes = tuple(
        ChangeReport(
            version=one["version"] or NO_VERSION,
            previous_version=one["previous_version"] or NO_VERSION,
            at=one["at"],
            kind=one["kind"],
            actor=one["actor"],
            reason=one["reason"],
        )
        for one in trainer.history(name)["promotions"]
    )
    return RollbackReport(
        from_version=before,
        to_version=after,
        judging=predictor.live_version(machine_type) or NO_VERSION,
        refusal=refusal,
        history=changes,
    )


def change_sentence(change: ChangeReport) -> str:
    """Say who did what, when and why, the reason shortened to its beginning.

    >>> change_sentence(ChangeReport(version="1", previous_version="3",
    ...     at="2026-11-21T08:00:07.000Z", kind="rollback", actor="demo", reason="worked"))
    '2026-11-21 08:00:07 rollback 3 -> 1 by demo: worked'
    """
    at = change.at[:19].replace("T", " ")
    reason = change.reason.split(";")[0]
    return (
        f"{at} {change.kind} {change.previous_version} -> {change.version} by {change.actor}: "
        f"{reason}"
    )
