"""Which version answers a machine, and which scores it in the shadow. Knows only loaded models."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from faultline.comparisons import Pair
from faultline.judge import Model
from services.predictor.slot import ModelSlot

GATE_TAG = "gate"
GATE_REFUSED = "refused"
_HASH_BYTES = 8
_HASHES = 2.0 ** (8 * _HASH_BYTES)


class Contest(NamedTuple):
    """The versions of one machine type at one moment.

    Attributes
    ----------
    challenger
        None while there is none beside the champion.
    share
        Part of the machines that the challenger answers; the champion scores these in the shadow.
    """

    champion: Model | None
    challenger: Model | None = None
    share: float = 0.0

    def answering(self, machine_id: str) -> Model | None:
        """The version whose verdicts of the machine count."""
        return self.challenger if self._is_swapped(machine_id) else self.champion

    def in_the_shadow(self, machine_id: str) -> Model | None:
        """The version that only is compared; None where there are not two."""
        return self.champion if self._is_swapped(machine_id) else self.challenger

    @property
    def pair(self) -> Pair | None:
        """What is compared; None where there are not two."""
        one, other = self.champion, self.challenger
        if one is None or other is None:
            return None
        return Pair(one.name, one.version, other.version, one.bundle_sha256, other.bundle_sha256)

    @property
    def versions(self) -> tuple[str | None, str | None]:
        """Those that answer machines of the type."""
        answers = self.challenger if self.share > 0.0 else None
        return _version(self.champion), _version(answers)

    def _is_swapped(self, machine_id: str) -> bool:
        return self.challenger is not None and share_of(machine_id) < self.share


def _version(model: Model | None) -> str | None:
    return None if model is None else model.version


Contests = Callable[[str], Contest]
"""By machine type."""


def share_of(machine_id: str) -> float:
    """Where a machine stands between 0 and 1: the same in every process and for ever.

    >>> share_of("pump-07") == share_of("pump-07") < 1.0
    True
    """
    digest = blake2b(machine_id.encode(), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest) / _HASHES


def contests(champions: ModelSlot, challengers: ModelSlot, share: float) -> Contests:
    """The contests that two slots hold.

    A version that the gate refused may be compared, which is evidence, but never answers. Nor does
    a challenger without a champion beside it: what has not been promoted decides nothing alone.
    """

    def contest(machine_type: str) -> Contest:
        champion = champions.model(machine_type)
        rival = challengers.loaded().get(machine_type)
        present = champions.loaded().get(machine_type)
        if champion is None or rival is None or present is None:
            return Contest(champion)
        if rival.model.bundle_sha256 == present.model.bundle_sha256:
            return Contest(champion)
        return Contest(champion, rival.model, 0.0 if rival.gate == GATE_REFUSED else share)

    return contest
