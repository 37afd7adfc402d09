"""What is remembered of one machine between two batches, and the bytes it is kept as.

Immutable, so that a reader of another thread never sees half a batch. Knows nothing of models,
topics or offsets.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from faultline.alarms import AlarmTracker
from faultline.detector import Adaptation, Window
from faultline.detector.new_normal import NewNormal, Proposal

SNAPSHOT_SCHEMA = 2
MAX_SNAPSHOT_BYTES = 900_000
"""A snapshot is one message, and a broker takes a million bytes unless told otherwise."""
_COMPRESS_ABOVE_BYTES = 200_000


class LateRun(msgspec.Struct, frozen=True):
    """The late readings since the last that was not, as far as they are in order.

    Attributes
    ----------
    rows
        How many.
    last_ms
        Time of the last of them.
    given_up_ms
        Latest time of the windows that such a run has ended; -1 before the first.
    """

    rows: int = 0
    last_ms: int = -1
    given_up_ms: int = -1


@dataclass(frozen=True, eq=False)
class Adapted:
    """What one model version, by name and number, has learnt of the machine while it scored."""

    version: str
    adaptation: Adaptation


@dataclass(frozen=True, eq=False)
class MachineState:
    """One machine as its last reading left it.

    Attributes
    ----------
    window
        Its last raw rows, with every sensor that they hold: it outlives the model, so a new
        version with other sensors goes on from the same rows.
    alarms
        The alarm rule's counters and the open alarm.
    late
        What may show that the window's times are those of a clock that was ahead.
    adapted
        Drift that was followed, and a lasting state that is the new normal; None before a model
        has scored.
    """

    window: Window = field(default_factory=lambda: Window.empty(()))
    alarms: AlarmTracker = field(default_factory=AlarmTracker)
    late: LateRun = field(default_factory=LateRun)
    adapted: Adapted | None = None

    @property
    def latest_ms(self) -> int:
        """The latest time of a reading that it took in; -1 before the first."""
        times = self.window.timestamps_ms
        return max(self.late.given_up_ms, int(times[-1]) if len(times) else -1)


class _NewNormalSnapshot(msgspec.Struct, frozen=True):
    places: bytes
    ordinary: tuple[bool, ...]


class _ProposalSnapshot(msgspec.Struct, frozen=True):
    places: bytes
    steps: tuple[int, ...]
    ordinary: tuple[bool, ...]
    for_ms: int
    last_ms: int


class _AdaptedSnapshot(msgspec.Struct, frozen=True):
    """An adaptation as it is kept; positions as float64, one after another."""

    version: str
    rows: int
    offset: bytes
    new_normal: _NewNormalSnapshot | None
    proposed: _ProposalSnapshot | None
    tracked: bytes | None


class _Snapshot(msgspec.Struct, frozen=True):
    """A state as it is kept: numbers as little-endian float64 and int64, so none is rounded."""

    schema: int
    sensors: tuple[str, ...]
    timestamps_ms: bytes
    values: bytes
    compressed: bool
    alarms: AlarmTracker
    late: LateRun = LateRun()
    adapted: _AdaptedSnapshot | None = None


class _SchemaOnly(msgspec.Struct, frozen=True):
    schema: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Snapshot)
_schema_decoder = msgspec.msgpack.Decoder(_SchemaOnly)


def encode_state(state: MachineState) -> bytes:
    """Encode as MessagePack; `decode_state` gives back the same bits.

    Of a machine so wide that the snapshot would exceed `MAX_SNAPSHOT_BYTES` even compressed, the
    older half of the rows is left out until it fits.
    """
    window = state.window
    rows = len(window)
    while True:
        kept = slice(len(window) - rows, len(window))
        values = np.ascontiguousarray(window.values[kept], dtype="<f8").tobytes()
        compressed = len(values) > _COMPRESS_ABOVE_BYTES
        encoded = _encoder.encode(
            _Snapshot(
                schema=SNAPSHOT_SCHEMA,
                sensors=window.sensors,
                timestamps_ms=window.timestamps_ms[kept].astype("<i8").tobytes(),
                values=zlib.compress(values, 1) if compressed else values,
                compressed=compressed,
                alarms=state.alarms,
                late=state.late,
                adapted=_packed(state.adapted),
            )
        )
        if len(encoded) <= MAX_SNAPSHOT_BYTES or rows <= 1:
            return encoded
        rows //= 2


def decode_state(value: bytes) -> MachineState:
    """Decode a snapshot.

    Raises
    ------
    ValueError
        When it is none, is damaged, or has a schema that this version does not know.
    """
    try:
        schema = _schema_decoder.decode(value).schema
        if schema != SNAPSHOT_SCHEMA:
            raise ValueError(f"snapshot has the schema {schema}; known is {SNAPSHOT_SCHEMA}")
        snapshot = _decoder.decode(value)
        values = zlib.decompress(snapshot.values) if snapshot.compressed else snapshot.values
        times = np.frombuffer(snapshot.timestamps_ms, dtype="<i8").astype(np.int64)
        rows = np.frombuffer(values, dtype="<f8").astype(np.float64)
        shape = (len(times), len(snapshot.sensors))
        window = Window(snapshot.sensors, times, rows.reshape(shape))
        return MachineState(window, snapshot.alarms, snapshot.late, _unpacked(snapshot.adapted))
    except (msgspec.DecodeError, zlib.error) as error:
        raise ValueError(f"snapshot cannot be read: {error}") from error


def _packed(adapted: Adapted | None) -> _AdaptedSnapshot | None:
    if adapted is None:
        return None
    adaptation = adapted.adaptation
    new_normal, proposed = adaptation.new_normal, adaptation.proposed
    return _AdaptedSnapshot(
        version=adapted.version,
        rows=adaptation.rows,
        offset=_bytes(adaptation.offset),
        new_normal=None
        if new_normal is None
        else _NewNormalSnapshot(_bytes(new_normal.places), tuple(new_normal.ordinary.tolist())),
        proposed=None
        if proposed is None
        else _ProposalSnapshot(
            places=_bytes(proposed.places),
            steps=tuple(proposed.steps.tolist()),
            ordinary=tuple(proposed.ordinary.tolist()),
            for_ms=proposed.for_ms,
            last_ms=proposed.last_ms,
        ),
        tracked=None if adaptation.tracked is None else _bytes(adaptation.tracked),
    )


def _unpacked(snapshot: _AdaptedSnapshot | None) -> Adapted | None:
    if snapshot is None:
        return None
    new_normal, proposed = snapshot.new_normal, snapshot.proposed
    adaptation = Adaptation(
        rows=snapshot.rows,
        offset=_floats(snapshot.offset),
        new_normal=None
        if new_normal is None
        else NewNormal(
            _places(new_normal.places, len(new_normal.ordinary)), _flags(new_normal.ordinary)
        ),
        proposed=None
        if proposed is None
        else Proposal(
            places=_places(proposed.places, len(proposed.ordinary)),
            steps=np.array(proposed.steps, dtype=np.int64),
            ordinary=_flags(proposed.ordinary),
            for_ms=proposed.for_ms,
            last_ms=proposed.last_ms,
        ),
        tracked=None if snapshot.tracked is None else _places(snapshot.tracked, 2),
    )
    return Adapted(snapshot.version, adaptation)


def _bytes(numbers: NDArray[np.float64]) -> bytes:
    return numbers.astype("<f8").tobytes()


def _floats(content: bytes) -> NDArray[np.float64]:
    return np.frombuffer(content, dtype="<f8").astype(np.float64)


def _places(content: bytes, k: int) -> NDArray[np.float64]:
    return _floats(content).reshape(k, -1)


def _flags(flags: tuple[bool, ...]) -> NDArray[np.bool_]:
    return np.array(flags, dtype=np.bool_)
