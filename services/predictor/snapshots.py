"""The values of `predictor.state`: a machine's state, and where in the stream it stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from faultline.machine_state import MachineState, decode_state, encode_state
from faultline.ports.broker import Message
from faultline.telemetry import logger

log = logger(__name__)


class LiveMachine(NamedTuple):
    """A machine's state, and the offset of the next message that it has not seen."""

    state: MachineState
    next_offset: int

    @property
    def reach(self) -> tuple[int, int]:
        """How far it has come: the later of two has the larger.

        By time before offset, as offsets begin anew when a topic is set up anew.
        """
        return self.state.latest_ms, self.next_offset


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    partition: int
    next_offset: int
    state: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Snapshot)


def encode_snapshot(partition: int, live: LiveMachine) -> bytes:
    """Encode for `predictor.state`; `partition` is that of `sensor.readings` it came from."""
    return _encoder.encode(_Snapshot(partition, live.next_offset, encode_state(live.state)))


def restore(partition: int, messages: Iterable[Message]) -> dict[str, LiveMachine]:
    """The machines of a partition, from all of its snapshots in the order of the log.

    Of several snapshots of a machine, the one that reaches furthest counts: a replica that was
    thrown out of the group may have written an older one after it. A snapshot that cannot be read
    counts as none: its machine warms up again.
    """
    machines: dict[str, LiveMachine] = {}
    unreadable = 0
    for message in messages:
        if message.key is None:
            continue
        try:
            snapshot = _decoder.decode(message.value)
            live = LiveMachine(decode_state(snapshot.state), snapshot.next_offset)
            machine_id = message.key.decode()
        except (msgspec.DecodeError, ValueError) as error:
            unreadable += 1
            if unreadable == 1:
                log.warning("snapshot cannot be read", partition=partition, why=str(error))
            continue
        known = machines.get(machine_id)
        if snapshot.partition == partition and (known is None or live.reach >= known.reach):
            machines[machine_id] = live
    if unreadable:
        log.warning("machines begin anew", partition=partition, unreadable_snapshots=unreadable)
    return machines
