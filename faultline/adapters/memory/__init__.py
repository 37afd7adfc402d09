"""In-memory twins of the real adapters: the same contract suites, no server."""

from __future__ import annotations

from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase

__all__ = ["MemoryBroker", "MemoryDatabase"]
