"""Consumer groups of the broker in memory: who owns which partition, and what was committed.

A partition goes to its next owner only after the former one has been told, as with Kafka.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from faultline.errors import Unavailable
from faultline.ports.broker import Message, Partition, RebalanceListener

if TYPE_CHECKING:
    from faultline.adapters.memory.broker import MemoryBroker


class MemoryGroup:
    """Members in the order in which they joined, their partitions and offsets."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._members: list[MemoryConsumer] = []
        self.committed: dict[Partition, int] = {}
        self.owners: dict[Partition, MemoryConsumer] = {}
        self.generation = 0

    def join(self, member: MemoryConsumer) -> None:
        """Add a member, unless it is one; everyone's share changes."""
        if member not in self._members:
            self._members.append(member)
            self.generation += 1

    def leave(self, member: MemoryConsumer) -> None:
        """Take a member away; everyone's share changes."""
        if member in self._members:
            self._members.remove(member)
            self.release(member)
            self.generation += 1

    def has(self, member: MemoryConsumer) -> bool:
        """Whether it is a member now."""
        return member in self._members

    def evict_all(self) -> None:
        """Take all members away at once; they may join again."""
        self._members.clear()
        self.owners.clear()
        self.generation += 1

    def release(self, member: MemoryConsumer) -> None:
        """Free what a member owns."""
        for partition in [p for p, owner in self.owners.items() if owner is member]:
            del self.owners[partition]

    def share(self, member: MemoryConsumer) -> list[Partition]:
        """What a member should own: a range of each topic's partitions, as Kafka deals them."""
        mine: list[Partition] = []
        for topic in member.topics:
            interested = [other for other in self._members if topic in other.topics]
            partitions = self._broker.partitions(topic)
            rank, (size, rest) = interested.index(member), divmod(len(partitions), len(interested))
            start = rank * size + min(rank, rest)
            mine += partitions[start : start + size + (rank < rest)]
        return mine


class MemoryConsumer:
    """One member of a group; see `faultline.ports.broker.Consumer`."""

    def __init__(
        self,
        broker: MemoryBroker,
        group: MemoryGroup,
        topics: Sequence[str],
        listener: RebalanceListener | None,
    ) -> None:
        self.topics = topics
        self._broker = broker
        self._group = group
        self._listener = listener
        self._generation: int | None = None
        self._untold: list[Partition] | None = None
        self._told: list[Partition] = []
        self._positions: dict[Partition, int] = {}
        self._turn = 0
        self._closed = False

    def poll(self, timeout_s: float, max_messages: int) -> Sequence[Message]:
        """Messages of the assigned partitions, each partition's in order."""
        deadline = time.monotonic() + timeout_s
        while True:
            # The listener runs without the lock: it may use the broker from other threads.
            self._rebalance()
            self._tell_assigned()
            with self._broker.changed:
                self._broker.require_running()
                messages = self._take(max_messages)
                left = deadline - time.monotonic()
                if messages or left <= 0:
                    return messages
                if self._generation == self._group.generation:
                    self._broker.changed.wait(left)
                else:
                    # Waiting for a former owner to let go.
                    self._broker.changed.wait(min(left, 0.01))

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit; raises `Unavailable` for partitions that have gone to someone else."""
        with self._broker.changed:
            self._broker.require_running()
            lost = [p for p in offsets if self._group.owners.get(p) is not self]
            if lost:
                raise Unavailable(f"the group has moved on: {lost} are not ours any more")
            self._group.committed.update(offsets)

    def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The group's committed offsets; partitions without one are left out."""
        with self._broker.changed:
            self._broker.require_running()
            committed = self._group.committed
            return {each: committed[each] for each in partitions if each in committed}

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""
        with self._broker.changed:
            if self._group.owners.get(partition) is not self:
                raise Unavailable(f"{partition} is not ours any more")
            # Beyond the end Kafka starts again at the earliest message.
            self._positions[partition] = offset if offset <= self._broker.end(partition) else 0

    def lag(self) -> Mapping[Partition, int]:
        """Messages behind the end, per assigned partition."""
        return {
            partition: max(0, self._broker.end(partition) - position)
            for partition, position in self._positions.items()
        }

    def close(self) -> None:
        """Leave the group, having told the listener that its partitions go."""
        if self._closed:
            return
        self._closed = True
        try:
            self._tell_gone()
        finally:
            with self._broker.changed:
                self._group.leave(self)
                self._broker.changed.notify_all()

    def _rebalance(self) -> None:
        if self._closed:
            raise Unavailable("this consumer is closed; open another one")
        with self._broker.changed:
            self._broker.require_running()
            if self._generation == self._group.generation:
                return
            for topic in self.topics:
                if not self._broker.partitions(topic):
                    raise Unavailable(f"there is no topic {topic}; create the topics first")
        self._tell_gone()
        with self._broker.changed:
            self._group.join(self)
            self._group.release(self)
            share = self._group.share(self)
            if any(partition in self._group.owners for partition in share):
                return
            for partition in share:
                self._group.owners[partition] = self
            self._positions = {each: self._group.committed.get(each, 0) for each in share}
            self._untold, self._generation = share, self._group.generation
            self._broker.changed.notify_all()

    def _tell_gone(self) -> None:
        told, self._told, self._untold = self._told, [], None
        self._positions = {}
        if not told or self._listener is None:
            return
        with self._broker.changed:
            lost = not self._group.has(self)
        if lost:
            self._listener.lost(self, told)
        else:
            self._listener.revoked(self, told)

    def _tell_assigned(self) -> None:
        if self._untold is None:
            return
        if self._listener is not None:
            self._listener.assigned(self, self._untold)
        # Only now: had the listener raised, the next poll would have told it again.
        self._told, self._untold = self._untold, None

    def _take(self, max_messages: int) -> list[Message]:
        """Messages from one partition after the other, beginning elsewhere each time."""
        messages: list[Message] = []
        if self._untold is not None or not self._told:
            return messages
        self._turn += 1
        start = self._turn % len(self._told)
        for partition in (*self._told[start:], *self._told[:start]):
            room = max_messages - len(messages)
            taken = self._broker.messages(partition, self._positions[partition])[:room]
            if taken:
                self._positions[partition] = taken[-1].offset + 1
                messages += taken
        return messages
