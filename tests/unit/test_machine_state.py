"""Snapshots of a machine: nothing is rounded, and what is not one is refused."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from faultline.alarms import AlarmTracker
from faultline.detector import Adaptation, Window
from faultline.detector.new_normal import NewNormal, Proposal
from faultline.machine_state import (
    MAX_SNAPSHOT_BYTES,
    SNAPSHOT_SCHEMA,
    Adapted,
    LateRun,
    MachineState,
    decode_state,
    encode_state,
)


def _state(rows: int, sensors: int) -> MachineState:
    values = np.random.default_rng(0).normal(size=(rows, sensors))
    names = tuple(f"s{i}" for i in range(sensors))
    return MachineState(Window(names, np.arange(rows, dtype=np.int64), values))


def test_a_snapshot_keeps_every_bit() -> None:
    values = np.array([[0.1, np.nan], [1e100, -0.0], [5e-324, 1 / 3]])
    window = Window(("flow", "ß°"), np.array([0, 1, 4_133_980_799_999]), values)
    tracker = AlarmTracker(recent=((7, True), (8, False)), good_run=1, published_peak=0.1)
    restored = decode_state(encode_state(MachineState(window, tracker, LateRun(3, 7, 9))))
    assert restored.window.sensors == window.sensors
    assert restored.window.timestamps_ms.tolist() == window.timestamps_ms.tolist()
    assert restored.window.values.tobytes() == values.tobytes()
    assert restored.alarms == tracker
    assert restored.late == LateRun(3, 7, 9)


def _learnt() -> Adaptation:
    nowhere = [np.nan] * 3
    return Adaptation(
        rows=12_345,
        offset=np.array([0.1, -0.0, 5e-324]),
        new_normal=NewNormal(
            places=np.array([[1 / 3, 1e100, -7.0], nowhere]), ordinary=np.array([False, True])
        ),
        proposed=Proposal(
            places=np.array([nowhere, [1e-9, np.nan, 3.0]]),
            steps=np.array([0, 3]),
            ordinary=np.array([True, False]),
            for_ms=61_000,
            last_ms=1_795_248_000_001,
        ),
        tracked=np.array([[np.nan, 0.1, -0.0], [np.nan, 0.2, 0.0]]),
    )


def _is_same(kept: object, value: object) -> None:
    assert type(kept) is type(value)
    if isinstance(value, np.ndarray):
        assert isinstance(kept, np.ndarray)
        assert (kept.dtype, kept.shape) == (value.dtype, value.shape)
        assert kept.tobytes() == value.tobytes()
    elif isinstance(value, Adaptation | NewNormal | Proposal):
        for name, part in vars(value).items():
            _is_same(getattr(kept, name), part)
    else:
        assert kept == value


def test_what_was_learnt_of_a_machine_keeps_every_bit() -> None:
    learnt = _learnt()
    restored = decode_state(encode_state(MachineState(adapted=Adapted("7", learnt)))).adapted
    assert restored is not None
    assert restored.version == "7"
    _is_same(restored.adaptation, learnt)


def test_a_snapshot_whose_states_do_not_fit_the_clusters_is_refused() -> None:
    encoded = encode_state(MachineState(adapted=Adapted("7", _learnt())))
    snapshot = msgspec.msgpack.decode(encoded)
    snapshot["adapted"]["new_normal"]["ordinary"] = [True] * 4
    with pytest.raises(ValueError, match="reshape"):
        decode_state(msgspec.msgpack.encode(snapshot))


def test_a_machine_of_which_nothing_was_learnt_yet_stays_one() -> None:
    state = MachineState(adapted=Adapted("1", Adaptation.start(2)))
    restored = decode_state(encode_state(state)).adapted
    assert restored is not None
    assert (restored.adaptation.new_normal, restored.adaptation.proposed) == (None, None)
    assert decode_state(encode_state(MachineState())).adapted is None


def test_the_state_of_a_machine_never_seen_survives() -> None:
    assert len(decode_state(encode_state(MachineState())).window) == 0


def test_a_large_snapshot_keeps_every_bit() -> None:
    state = _state(128, 400)
    restored = decode_state(encode_state(state))
    assert restored.window.values.tobytes() == state.window.values.tobytes()


def test_a_snapshot_that_no_message_could_hold_loses_its_oldest_rows() -> None:
    state = _state(300, 1_000)
    encoded = encode_state(state)
    kept = decode_state(encoded).window
    assert len(encoded) <= MAX_SNAPSHOT_BYTES
    assert 0 < len(kept) < 300
    assert kept.values.tobytes() == state.window.values[-len(kept) :].tobytes()


def test_a_snapshot_of_an_unknown_schema_is_refused() -> None:
    value = msgspec.msgpack.encode({"schema": SNAPSHOT_SCHEMA + 1})
    with pytest.raises(ValueError, match="schema 3; known is 2"):
        decode_state(value)


@pytest.mark.parametrize("damage", [slice(0, -1), slice(1, None), slice(0, 0)])
def test_a_damaged_snapshot_is_refused(damage: slice) -> None:
    with pytest.raises(ValueError, match="snapshot"):
        decode_state(encode_state(_state(3, 2))[damage])


def test_a_snapshot_whose_table_does_not_fit_its_columns_is_refused() -> None:
    snapshot = msgspec.msgpack.decode(encode_state(_state(3, 2)))
    snapshot["sensors"] = ["s0", "s1", "s2", "s3"]
    with pytest.raises(ValueError, match="reshape"):
        decode_state(msgspec.msgpack.encode(snapshot))
