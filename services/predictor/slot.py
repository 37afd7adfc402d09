"""The model slot: which version judges which machine type at this moment.

Readers take one reference and judge a whole batch with it; the loader swaps it from another
thread. Knows nothing of registries or disks.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from faultline.judge import Model

_MAX_ASKED = 10_000


class Origin(StrEnum):
    """Where a version was found."""

    REGISTRY = "registry"
    """What the alias `production` points to."""
    DISK = "disk"
    """The last good one, kept from before, until the registry is heard."""


@dataclass(frozen=True)
class Loaded:
    """A version in the slot.

    Attributes
    ----------
    loaded_at_ms
        Since when it judges, milliseconds since the epoch.
    gate
        What the gate says of it; None when that is not known.
    step_ms
        Usual time between two rows of its training, for rows without a time; None when that is not
        known.
    """

    model: Model
    loaded_at_ms: int
    source: Origin
    gate: str | None = None
    step_ms: int | None = None


class ModelSlot:
    """One version per machine type. Safe to read from any thread.

    Attributes
    ----------
    wanted
        Set when a machine type without a model was first asked for: worth a look at the registry
        at once.
    """

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self._loaded: Mapping[str, Loaded] = {}
        self._asked: set[str] = set()

    def model(self, machine_type: str) -> Model | None:
        """The version that judges the type now; keep it for the whole batch."""
        loaded = self._loaded.get(machine_type)
        if loaded is not None:
            return loaded.model
        # Bounded, as anyone can send any machine type; beyond it a type waits for the next poll.
        if machine_type not in self._asked and len(self._asked) < _MAX_ASKED:
            self._asked.add(machine_type)
            self.wanted.set()
        return None

    def loaded(self) -> Mapping[str, Loaded]:
        """What is in the slot, by machine type. The mapping never changes."""
        return self._loaded

    def absence(self, machine_type: str) -> str:
        """Why a type has no model, and which ones have, in a sentence."""
        there = ", ".join(sorted(self._loaded)) or "none"
        return f"no version of machine type {machine_type!r} in Production; there are: {there}"

    def swap(self, machine_type: str, loaded: Loaded) -> None:
        """Let a version judge from the next batch on. Called by one thread only."""
        self._loaded = {**self._loaded, machine_type: loaded}

    def withdraw(self, machine_type: str) -> None:
        """Leave a type without a model. Called by one thread only."""
        self._loaded = {kind: kept for kind, kept in self._loaded.items() if kind != machine_type}
