"""Versions fetched from the registry, verified, with what is known of the rows they learnt from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faultline.errors import InvalidBundle, InvalidReading, NotFound
from faultline.judge import Model
from faultline.offline.models import pull
from faultline.ports.registry import ModelRegistry, ModelVersion
from faultline.readings import parse_timestamp

_START_TAG = "training_start"
_END_TAG = "training_end"


@dataclass(frozen=True, eq=False)
class Contender:
    """A registered version, ready to score.

    Attributes
    ----------
    learnt_ms
        Time of the first and last reading that it learnt from; None when its tags don't say.
    """

    model: Model
    learnt_ms: tuple[int, int] | None

    def learnt(self, timestamps_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows it may have learnt from, shape (n,): all, when that is not known."""
        if self.learnt_ms is None:
            return np.ones(len(timestamps_ms), dtype=np.bool_)
        first, last = self.learnt_ms
        return np.asarray((timestamps_ms >= first) & (timestamps_ms <= last))


def fetch(registry: ModelRegistry, version: ModelVersion) -> Contender:
    """Download a version's bundle and verify it against the sum it was registered with.

    Raises
    ------
    InvalidBundle
        When it was altered, or is of a schema that is not known.
    NotFound
        When its files are gone.
    Unavailable
        While the registry is down.
    """
    loaded = pull(f"models:/{version.name}/{version.version}", registry)
    return Contender(loaded.model, _learnt(version))


def fetch_champion(registry: ModelRegistry, name: str) -> Contender | str | None:
    """The version in Production; why it cannot be had, when it can't; None when there is none.

    Raises `Unavailable` while the registry is down.
    """
    version = registry.production(name)
    if version is None:
        return None
    try:
        return fetch(registry, version)
    except (InvalidBundle, NotFound) as error:
        return f"version {version.version}, in Production, cannot be loaded ({error})"


def _learnt(version: ModelVersion) -> tuple[int, int] | None:
    try:
        first, last = (parse_timestamp(version.tags[tag]) for tag in (_START_TAG, _END_TAG))
    except (KeyError, InvalidReading):
        # Anyone may have edited a tag.
        return None
    return first, last
