"""What becomes of a version: into Production, or it stays where it is, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from model_lifecycle.quality import shortcomings, standing
from model_lifecycle.registry import Registry
from model_lifecycle.trainer import Trainer

DECISION_TAG = "airflow.decision"
REASON_TAG = "airflow.decision_reason"
PROMOTED = "promoted"
LEFT = "not promoted"

Json = dict[str, Any]


def against(
    trainer: Trainer, name: str, number: str, limits: Iterable[str], *, same_data: bool = False
) -> list[str]:
    """Say what speaks against promoting a version; nothing when it is good.

    Parameters
    ----------
    same_data
        See `model_lifecycle.quality.standing`.
    """
    versions = trainer.versions(name)
    version = next((one for one in versions if one["version"] == number), None)
    if version is None:
        raise AirflowFailException(f"{name} has no version {number} any more")
    if version["stage"] == "Production":
        return []
    return [
        *standing(version, versions, same_data=same_data),
        *shortcomings(version["tags"], limits),
    ]


def settle(
    trainer: Trainer, registry: Registry, name: str, number: str, *, why_not: list[str], by: str
) -> Json:
    """Have a version promoted, or leave it where it is, and tag it with what was decided and why.

    Parameters
    ----------
    why_not
        What `against` has said.
    by
        Which DAG run asks; kept in the history.
    """
    if why_not:
        decision, reason = LEFT, "; ".join(why_not)
    else:
        done = trainer.move(name, number, "Production", "the quality check passed", by)
        decision = PROMOTED
        former = done["previous_version"]
        reason = f"the quality check passed{f'; version {former} is archived' if former else ''}"
    registry.tag_version(name, number, {DECISION_TAG: decision, REASON_TAG: reason})
    return {"model_name": name, "version": number, "decision": decision, "reason": reason}
