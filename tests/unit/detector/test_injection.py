from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from faultline.detector.injection import Fault, FaultKind, inject

ROWS, SENSORS = 60, 3


@st.composite
def faults(draw: st.DrawFn, *kinds: FaultKind) -> Fault:
    kind = draw(st.sampled_from(kinds or tuple(FaultKind)))
    start = draw(st.integers(1, ROWS - 1))
    return Fault(
        kind,
        column=draw(st.integers(0, SENSORS - 1)),
        start=start,
        stop=draw(st.integers(start + 1, ROWS)),
        size=draw(st.floats(0.5, 50) | st.floats(-50, -0.5)) if kind.has_strength else None,
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def healthy_rows(seed: int = 0, missing: float = 0.0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    values: NDArray[np.float64] = rng.normal(size=(ROWS, SENSORS))
    values[rng.random(values.shape) < missing] = np.nan
    return values


def deviation(values: NDArray[np.float64], fault: Fault) -> NDArray[np.float64]:
    """What the fault did to its own sensor, while it lasts."""
    faulty: NDArray[np.float64] = inject(values, fault)
    return (faulty - values[: fault.stop])[fault.start :, fault.column]


@given(faults(), st.sampled_from([0.0, 0.3]))
def test_only_the_faulty_rows_of_the_faulty_sensor_change(fault: Fault, missing: float) -> None:
    values = healthy_rows(missing=missing)
    before = values.copy()

    faulty = inject(values, fault)

    others = np.ones((fault.stop, SENSORS), dtype=np.bool_)
    others[fault.start :, fault.column] = False
    np.testing.assert_array_equal(faulty[others], before[: fault.stop][others])
    np.testing.assert_array_equal(values, before)


@given(faults(), st.data())
def test_a_copy_may_begin_later(fault: Fault, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, fault.start))

    late = inject(healthy_rows(), fault, first)

    np.testing.assert_array_equal(late, inject(healthy_rows(), fault)[first:])


@given(faults(*(kind for kind in FaultKind if kind.has_strength)))
def test_what_is_missing_stays_missing(fault: Fault) -> None:
    values = healthy_rows(missing=0.3)

    faulty = inject(values, fault)

    np.testing.assert_array_equal(np.isnan(faulty), np.isnan(values[: fault.stop]))


@given(faults(FaultKind.SPIKE))
def test_a_spike_is_one_row(fault: Fault) -> None:
    changed = deviation(healthy_rows(), fault)

    assert changed[0] == pytest.approx(fault.size)
    assert not changed[1:].any()


@given(faults(FaultKind.OFFSET))
def test_an_offset_is_the_same_on_every_row(fault: Fault) -> None:
    assert deviation(healthy_rows(), fault) == pytest.approx(fault.size)


@given(faults(FaultKind.DRIFT))
def test_a_drift_grows_evenly_to_its_size(fault: Fault) -> None:
    changed = deviation(healthy_rows(), fault)

    assert fault.size is not None
    assert changed[-1] == pytest.approx(fault.size)
    assert np.diff(changed, prepend=0.0) == pytest.approx(fault.size / len(changed))


def test_noise_has_its_size_as_standard_deviation() -> None:
    values = np.zeros((10_000, 1))

    changed = deviation(values, Fault(FaultKind.NOISE, 0, 1, 10_000, size=3.0, seed=0))

    assert changed.std() == pytest.approx(3.0, rel=0.05)
    assert changed.mean() == pytest.approx(0.0, abs=0.1)


@given(faults(FaultKind.STUCK))
def test_a_stuck_sensor_holds_its_last_value(fault: Fault) -> None:
    values = healthy_rows()

    faulty = inject(values, fault)

    assert (faulty[fault.start :, fault.column] == values[fault.start - 1, fault.column]).all()


def test_a_stuck_sensor_holds_its_last_value_that_is_not_missing() -> None:
    values = np.array([[1.0], [np.nan], [3.0], [np.nan], [5.0]])

    faulty = inject(values, Fault(FaultKind.STUCK, 0, 2, 5, size=None, seed=0))

    np.testing.assert_array_equal(faulty[2:, 0], [1.0, np.nan, 1.0])


def test_a_sensor_without_a_value_before_cannot_be_stuck() -> None:
    values = np.array([[np.nan], [2.0], [3.0]])

    faulty = inject(values, Fault(FaultKind.STUCK, 0, 1, 3, size=None, seed=0))

    np.testing.assert_array_equal(faulty, values)


@given(faults(FaultKind.DROPOUT))
def test_a_dropout_is_missing(fault: Fault) -> None:
    assert np.isnan(inject(healthy_rows(), fault)[fault.start :, fault.column]).all()


@given(faults(FaultKind.BROKEN_CORRELATION))
def test_a_broken_correlation_has_the_sensors_own_values_of_another_time(fault: Fault) -> None:
    values = np.arange(ROWS * SENSORS, dtype=np.float64).reshape(ROWS, SENSORS)
    column = values[:, fault.column]

    faulty = inject(values, fault)[fault.start :, fault.column]

    at = np.searchsorted(column, faulty)
    np.testing.assert_array_equal(column[at], faulty)
    np.testing.assert_array_equal(np.diff(at) % ROWS, 1)
    length = fault.stop - fault.start
    if 2 * length <= ROWS:
        assert not set(at.tolist()) & set(range(fault.start, fault.stop))


def test_a_broken_correlation_of_a_whole_column_keeps_its_distribution() -> None:
    values = healthy_rows()

    faulty = inject(values, Fault(FaultKind.BROKEN_CORRELATION, 1, 0, ROWS, size=None, seed=3))

    assert not np.array_equal(faulty[:, 1], values[:, 1])
    np.testing.assert_array_equal(np.sort(faulty[:, 1]), np.sort(values[:, 1]))


def test_the_seed_decides_what_is_drawn() -> None:
    noisy = [
        inject(healthy_rows(), Fault(FaultKind.NOISE, 0, 5, 50, size=1.0, seed=seed))
        for seed in (1, 1, 2)
    ]

    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 3), (4, 2)])
def test_a_fault_has_rows(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="0 <= start < stop"):
        Fault(FaultKind.STUCK, 0, start, stop, size=None, seed=0)


@pytest.mark.parametrize(("kind", "size"), [(FaultKind.OFFSET, None), (FaultKind.DROPOUT, 1.0)])
def test_a_fault_has_a_size_where_its_kind_has_one(kind: FaultKind, size: float | None) -> None:
    with pytest.raises(ValueError, match="size"):
        Fault(kind, 0, 1, 2, size=size, seed=0)
