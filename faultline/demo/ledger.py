"""What was sent, against what the store has of it by now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from faultline.ports.stores import FleetStore


class Ledger:
    """Counts readings of machines; the sent ones are told, the others are asked for."""

    def __init__(self, store: FleetStore) -> None:
        self._store = store
        self._sent: Counter[str] = Counter()

    @property
    def sent(self) -> Counter[str]:
        """Readings per machine, of all feeds that have ended."""
        return Counter(self._sent)

    def add(self, sent: Mapping[str, int]) -> None:
        """Count what a feed has sent."""
        self._sent.update(sent)

    def stored(self, sent: Mapping[str, int]) -> bool:
        """Whether so many readings of each machine are stored."""
        known = self._stored_counts()
        return all(known[machine_id] >= count for machine_id, count in sent.items())

    def judged(self, sent: Mapping[str, int]) -> bool:
        """Whether so many verdicts of each machine are stored."""
        return all(self._judged_count(machine_id) >= count for machine_id, count in sent.items())

    def standing(self, sent: Mapping[str, int]) -> tuple[int, int, int]:
        """Readings sent, stored and judged of these machines."""
        known = self._stored_counts()
        return (
            sum(sent.values()),
            sum(known[machine_id] for machine_id in sent),
            sum(self._judged_count(machine_id) for machine_id in sent),
        )

    def _stored_counts(self) -> Counter[str]:
        return Counter({one.machine_id: one.readings for one in self._store.machines()})

    def _judged_count(self, machine_id: str) -> int:
        return sum(self._store.verdict_counts(machine_id).by_status.values())
