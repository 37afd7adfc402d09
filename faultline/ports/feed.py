"""The feed: topics followed from an offset that is chosen, outside any group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from faultline.ports.broker import Message, Partition
from faultline.topics import Topic


class Extent(NamedTuple):
    """What a partition holds: the offset of its first message, and that of its next one."""

    first: int
    end: int


class Follower(Protocol):
    """Stands somewhere in every partition of some topics. Used from one thread at a time.

    Attributes
    ----------
    extents
        What each partition held when it was opened; it stands at their ends first.
    """

    @property
    def extents(self) -> Mapping[Partition, Extent]:
        """As above."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from this offset."""

    def poll(self, timeout_s: float) -> Sequence[Message]:
        """Messages from where it stands on, each partition's in order; none is no error.

        Raises
        ------
        Unavailable
            When the broker cannot be reached. It stands where it stood, and may be asked again.
        """

    def positions(self) -> Mapping[Partition, int]:
        """Offset of the message that it would read next, of every partition; never fails."""

    def close(self) -> None:
        """Let go."""


class Feed(Protocol):
    """Where followers come from."""

    def open(self, topics: Sequence[Topic]) -> Follower:
        """Stand at the present end of these topics; raises `Unavailable`."""
