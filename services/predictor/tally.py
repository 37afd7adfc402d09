"""Counts how two versions do on the same readings, one counter per pair. Knows no broker."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import uuid4

import numpy as np

from faultline.comparisons import Comparison, Pair, Side, added, binned
from faultline.verdicts import Status, Verdict


class Tally:
    """The counts of one pair in this process; see `faultline.comparisons`."""

    def __init__(self, pair: Pair, now_ms: int) -> None:
        self._id = str(uuid4())
        self._pair = pair
        self._since_ms = self._until_ms = now_ms
        self._readings = self._agreed = 0
        self._champion = self._challenger = Side()

    def add(
        self,
        champion: Sequence[Verdict],
        challenger: Sequence[Verdict],
        champion_opened: Collection[int],
        challenger_opened: Collection[int],
        now_ms: int,
    ) -> int:
        """Count verdicts on the same readings; returns how many of them both had scored.

        Parameters
        ----------
        champion, challenger
            One verdict per reading, in the same order.
        champion_opened, challenger_opened
            Times of the readings with which alarms opened.
        now_ms
            When they were compared.
        """
        both = [
            (one, other)
            for one, other in zip(champion, challenger, strict=True)
            if one.score is not None and other.score is not None
        ]
        if not both:
            return 0
        times = {one.timestamp_ms for one, _ in both}
        self._readings += len(both)
        self._agreed += sum(_fails(one) is _fails(other) for one, other in both)
        ones, others = zip(*both, strict=True)
        self._champion = added(self._champion, _side(ones, times & set(champion_opened)))
        self._challenger = added(self._challenger, _side(others, times & set(challenger_opened)))
        self._until_ms = now_ms
        return len(both)

    def value(self) -> Comparison:
        """The counts so far."""
        return Comparison(
            **self._pair._asdict(),
            counter_id=self._id,
            since_ms=self._since_ms,
            until_ms=self._until_ms,
            readings=self._readings,
            agreed=self._agreed,
            champion=self._champion,
            challenger=self._challenger,
        )


def _fails(verdict: Verdict) -> bool:
    return verdict.status is Status.FAILURE


def _side(verdicts: Sequence[Verdict], opened: Collection[int]) -> Side:
    return Side(
        failures=sum(map(_fails, verdicts)),
        alarms=len(opened),
        scores=binned(np.array([verdict.score for verdict in verdicts], dtype=np.float64)),
    )
