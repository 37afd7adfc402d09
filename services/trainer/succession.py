"""Who is the challenger, and what is said of one that another has taken the place of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from faultline.gate_report import Decision
from faultline.ports.registry import ModelVersion, Stage
from services.trainer.record import GATE_TAG, JOB_TAG, SHADOW_TAG

_STAGING = "staging"
_PRODUCTION = "production"
_HOUR_MS = 3_600_000


def is_live(version: ModelVersion) -> bool:
    """Whether a version is the one in Production."""
    return _PRODUCTION in version.aliases


def live_version(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """The one in Production among a model's versions; None when none is."""
    return next((version for version in versions if is_live(version)), None)


def is_challenger(version: ModelVersion) -> bool:
    """Whether a version scores live readings beside the one in Production."""
    return _STAGING in version.aliases and not is_live(version)


def gathers(version: ModelVersion) -> bool:
    """Whether the gate waits for a challenger's live readings, be it for a second time."""
    return is_challenger(version) and version.tags.get(GATE_TAG) in {
        Decision.WAITING,
        Decision.SUPERSEDED,
    }


def is_to_be_judged(version: ModelVersion) -> bool:
    """Whether a challenger gathers live readings, or has passed and is not in Production yet."""
    return gathers(version) or (
        is_challenger(version) and version.tags.get(SHADOW_TAG) == Decision.PASSED
    )


def is_at(version: ModelVersion, stage: Stage) -> bool:
    """Whether a version beside Production is at a stage already, and behind its alias."""
    return version.stage is stage and (stage is Stage.STAGING) is (_STAGING in version.aliases)


def successor(version: ModelVersion, versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """The version that took the place of one that had not gathered enough live readings.

    None for every other, and for one that is said of already.

    Parameters
    ----------
    versions
        All of the model.
    """
    if (
        version.tags.get(GATE_TAG) != Decision.WAITING
        or version.stage is not Stage.STAGING
        or version.aliases & {_STAGING, _PRODUCTION}
    ):
        return None
    later = [
        one
        for one in versions
        if int(one.version) > int(version.version)
        and JOB_TAG in one.tags
        # One that is being registered has not taken it yet.
        and one.stage is not Stage.NONE
        and not _is_refused_at_once(one)
    ]
    return min(later, key=lambda one: int(one.version), default=None)


def _is_refused_at_once(version: ModelVersion) -> bool:
    """Whether the gate refused it before it scored anything live: it was never the challenger."""
    return version.tags.get(GATE_TAG) == Decision.REFUSED and SHADOW_TAG not in version.tags


def succession(version: ModelVersion, newer: ModelVersion, *, readings: int, wanted: int) -> str:
    """What happened to a version, in words.

    Parameters
    ----------
    readings
        Live ones that it had scored beside the version in Production.
    wanted
        Asked for.
    """
    hours = (newer.created_at_ms - version.created_at_ms) / _HOUR_MS
    return (
        f"version {newer.version} took its place in the shadow after {hours:.1f} h (trained "
        f"{_by(newer)}), when it had scored {readings:,} of the {wanted:,} live readings asked for"
    )


def _by(version: ModelVersion) -> str:
    trigger = version.tags.get("trigger", "by hand")
    return trigger if trigger == "by hand" else f"because of {trigger}"
