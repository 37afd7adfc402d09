"""What is drift and what is not, on generated machines whose readings follow from one another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from faultline.detector import Detector, MachineHistory
from faultline.detector.reference import (
    Reference,
    correlation_rows,
    machine_offsets,
    make_reference,
)
from faultline.drift import DriftKind, Finding
from faultline.rows import take
from services.predictor.drift_counts import added, counted, packed, places, unpacked
from services.predictor.drift_look import look
from services.predictor.drift_onset import DriftLimits, excess
from services.predictor.drift_sample import Rows

LIMITS = DriftLimits(distance=0.3, level=0.25)
STEP_MS = 1_000
REGIME = np.array([0.0, 8.0])


def names(d: int) -> tuple[str, ...]:
    return tuple(f"s{number:02}" for number in range(d))


def a_detector(d: int, machines: dict[str, float] | None = None) -> Detector:
    """Two clusters, apart in every second sensor; machines differ by a constant in all."""
    centres = np.zeros((2, d))
    centres[1, ::2] = REGIME[1]
    return Detector(
        sensors=names(d),
        window_rows=1,
        max_gap_ms=60_000,
        centre=np.zeros(d),
        scale=np.ones(d),
        spread=np.ones(d),
        clusters=centres,
        boundary=4.0 * np.sqrt(d),
        unknown_score=2.0,
        machines=tuple(machines or {}),
        baselines=np.array([[offset] * d for offset in (machines or {}).values()]).reshape(
            len(machines or {}), d if machines else 0
        ),
    )


def a_history(
    seed: int, d: int, rows: int, *, half: float = 0.5, phi: float = 0.9, offset: float = 0.0
) -> NDArray[np.float64]:
    """Autoregressive noise of deviation 1, and a regime that changes every fifty rows on average.

    `half` is the part of the time in the second regime.
    """
    rng = np.random.default_rng(seed)
    noise: NDArray[np.float64] = rng.normal(size=(rows, d)) * np.sqrt(1 - phi**2)
    for row in range(1, rows):
        noise[row] += phi * noise[row - 1]
    regime = np.repeat(rng.random(rows // 50 + 1) < half, 50)[:rows]
    noise[:, ::2] += REGIME[regime.astype(np.int64), np.newaxis]
    return np.add(noise, offset)


def reference_of(detector: Detector, values: NDArray[np.float64], machine: str = "m") -> Reference:
    times = np.arange(len(values), dtype=np.int64) * STEP_MS
    return make_reference(detector, detector.sensors, [MachineHistory(machine, times, values)])


def sampled(detector: Detector, values: NDArray[np.float64], number: int = 0) -> Rows:
    """What the monitor would have of these readings of one machine."""
    nearest = np.linalg.norm(values[:, np.newaxis] - detector.clusters, axis=2)
    return Rows(
        machine=np.full(len(values), number, dtype=np.int64),
        timestamps_ms=np.arange(len(values), dtype=np.int64) * STEP_MS,
        cluster=nearest.argmin(axis=1).astype(np.int64),
        score=nearest.min(axis=1) / detector.boundary,
        values=values,
    )


def compared(detector: Detector, reference: Reference, rows: Rows) -> tuple[Finding, ...]:
    d = len(detector.sensors)
    counts = counted(reference, rows)
    return look(detector.sensors, np.zeros(d, dtype=np.bool_), reference, counts, LIMITS)


def drifting(found: tuple[Finding, ...]) -> list[tuple[DriftKind, str]]:
    return [
        (one.kind, one.name) for one in found if excess(one) >= 1 and LIMITS.is_significant(one)
    ]


@pytest.mark.parametrize("rows", [60, 400, 5_000])
@pytest.mark.parametrize("phi", [0.0, 0.9, 0.99])
def test_nothing_drifts_where_nothing_has_changed(rows: int, phi: float) -> None:
    detector = a_detector(6)
    found = []
    for seed in range(20):
        reference = reference_of(detector, a_history(seed, 6, 5_000, phi=phi))
        rows_now = sampled(detector, a_history(1_000 + seed, 6, rows, phi=phi))
        found += drifting(compared(detector, reference, rows_now))
    assert found == []


def test_a_slow_cycle_seen_in_part_is_no_drift() -> None:
    """An hour of a day's cycle is unlike the day; the reference knows how slow it is."""
    detector = a_detector(2)
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        day = 1.5 * np.sin(2 * np.pi * np.arange(24_000) / 6_000)
        values = rng.normal(size=(24_000, 2)) * 0.3
        values[:, 1] += day
        reference = reference_of(detector, values)
        start = int(rng.integers(0, 6_000))
        now = rng.normal(size=(500, 2)) * 0.3
        now[:, 1] += day[start : start + 500]
        found += drifting(compared(detector, reference, sampled(detector, now)))
    assert found == []


def test_a_sensor_that_has_shifted_is_named_and_no_other() -> None:
    detector = a_detector(38)
    reference = reference_of(detector, a_history(1, 38, 10_000))
    for seed in range(5):
        values = a_history(100 + seed, 38, 10_000)
        values[:, 17] += 1.2
        found = compared(detector, reference, sampled(detector, values))
        assert drifting(found) == [(DriftKind.SENSOR, "s17")]
        [one] = [one for one in found if one.name == "s17"]
        assert one.statistic == pytest.approx(0.45, abs=0.06)
        assert one.before.startswith("median")
        assert one.before != one.after


def test_a_regime_that_training_hardly_showed_is_no_drift_of_sensors() -> None:
    detector = a_detector(6)
    found = []
    for seed in range(10):
        reference = reference_of(detector, a_history(seed, 6, 10_000, half=0.02))
        rows = sampled(detector, a_history(70 + seed, 6, 10_000, half=0.98))
        found += drifting(compared(detector, reference, rows))
    assert {kind for kind, _ in found} == {DriftKind.CLUSTERS}


def test_more_comparisons_need_more_certainty() -> None:
    detector = a_detector(38)
    reference = reference_of(detector, a_history(1, 38, 10_000))
    values = a_history(2, 38, 1_000)
    values[:, 17] += 1.0
    rows = sampled(detector, values)

    def p_value(compared_sensors: int) -> float:
        slow = np.arange(38) > 17
        slow[: 18 - compared_sensors] = True
        found = look(detector.sensors, slow, reference, counted(reference, rows), LIMITS)
        [one] = [one for one in found if one.name == "s17"]
        assert one.p_value is not None
        return one.p_value

    beside_scores_and_clusters = 3
    assert p_value(18) / p_value(1) == pytest.approx(
        (18 + beside_scores_and_clusters) / (1 + beside_scores_and_clusters)
    )


def test_a_shift_in_the_midst_of_the_sample_is_found() -> None:
    detector = a_detector(6)
    reference = reference_of(detector, a_history(1, 6, 10_000))
    values = a_history(2, 6, 10_000)
    values[3_000:, 3] += 1.5
    found = drifting(compared(detector, reference, sampled(detector, values)))
    assert found == [(DriftKind.SENSOR, "s03")]


def test_a_sensor_that_has_got_noisier_is_named() -> None:
    detector = a_detector(6)
    reference = reference_of(detector, a_history(1, 6, 10_000))
    values = a_history(2, 6, 10_000)
    values[:, 3] *= 5
    found = drifting(compared(detector, reference, sampled(detector, values)))
    assert (DriftKind.SENSOR, "s03") in found
    assert {name for kind, name in found if kind is DriftKind.SENSOR} == {"s03"}


def test_another_mix_of_clusters_is_found_and_is_no_drift_of_sensors() -> None:
    detector = a_detector(6)
    reference = reference_of(detector, a_history(1, 6, 10_000))
    for seed in range(5):
        values = a_history(50 + seed, 6, 10_000, half=0.05)
        found = drifting(compared(detector, reference, sampled(detector, values)))
        assert found == [(DriftKind.CLUSTERS, "mix")]


def test_higher_scores_are_found() -> None:
    detector = a_detector(6)
    reference = reference_of(detector, a_history(1, 6, 10_000))
    rows = sampled(detector, a_history(2, 6, 10_000))
    found = drifting(compared(detector, reference, rows._replace(score=rows.score + 0.3)))
    assert found == [(DriftKind.SCORE, "distribution"), (DriftKind.SCORE, "level")]


def test_machines_of_a_replica_are_compared_after_their_own_baselines() -> None:
    """One replica has these machines, another those; none of them has changed."""
    offsets = {"a": -20.0, "b": 0.0, "c": 30.0, "d": 5.0}
    detector = a_detector(4, offsets)
    times = np.arange(5_000, dtype=np.int64) * STEP_MS
    histories = [
        MachineHistory(name, times, a_history(number, 4, 5_000, offset=offset))
        for number, (name, offset) in enumerate(offsets.items())
    ]
    reference = make_reference(detector, names(4), histories)
    known = machine_offsets(detector)
    for replica in (("a", "b"), ("c", "d"), ("c",)):
        parts = []
        for number, name in enumerate(replica):
            values = a_history(10 + number, 4, 2_000, offset=offsets[name]) - known[name]
            parts.append(sampled(detector, values, number))
        rows = Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        assert drifting(compared(detector, reference, rows)) == []


def test_missing_values_are_no_drift() -> None:
    detector = a_detector(4)
    reference = reference_of(detector, a_history(1, 4, 10_000))
    values = a_history(2, 4, 10_000)
    rows = sampled(detector, values)
    values[np.random.default_rng(0).random(values.shape) < 0.5] = np.nan
    values[:, 2] = np.nan
    found = compared(detector, reference, rows._replace(values=values))
    assert drifting(found) == []
    assert "s02" not in {one.name for one in found}


# Several replicas --------------------------------------------------------------------------------


def test_the_counts_of_replicas_add_up_to_those_of_one_that_has_all() -> None:
    detector = a_detector(3)
    reference = reference_of(detector, a_history(1, 3, 5_000))
    values = a_history(2, 3, 4_000) + np.array([0.0, 0.7, 0.0])
    rows = sampled(detector, values.copy())
    rows.values[::5, 2] = np.nan
    parts = [counted(reference, rows.taken(part)) for part in (slice(0, 1_500), slice(1_500, None))]
    total, at_once = added(parts, reference), counted(reference, rows)
    for name in ("clusters", "sensors", "scores"):
        np.testing.assert_array_equal(getattr(total, name), getattr(at_once, name))
    # As near as two of the reference's values are; at the ends they are farther apart.
    np.testing.assert_allclose(total.spreads, at_once.spreads, atol=0.3)
    np.testing.assert_allclose(total.middle, at_once.middle, atol=0.01)
    np.testing.assert_array_equal(
        total.independent, np.maximum(parts[0].independent, parts[1].independent)
    )


def test_values_are_counted_where_they_stand() -> None:
    detector = a_detector(2)
    reference = reference_of(detector, a_history(1, 2, 5_000).round(1))
    rows = sampled(detector, a_history(2, 2, 3_000).round(1))
    counts = counted(reference, rows)
    for column in range(2):
        at = places(np.sort(reference.values[:, column]), rows.values[:, column])
        np.testing.assert_array_equal(
            counts.sensors[column], np.bincount(at, minlength=counts.sensors.shape[1])
        )


def test_counts_survive_the_store() -> None:
    detector = a_detector(3)
    reference = reference_of(detector, a_history(1, 3, 5_000))
    counts = counted(reference, sampled(detector, a_history(2, 3, 4_000)))
    data = packed(counts)
    for one, other in zip(unpacked(data, reference), counts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(data) < 20_000


@pytest.mark.parametrize("damage", [b"no counts", b""])
def test_counts_that_are_none_are_refused(damage: bytes) -> None:
    reference = reference_of(a_detector(3), a_history(1, 3, 500))
    with pytest.raises(ValueError, match="counts cannot be read"):
        unpacked(damage, reference)


def test_counts_beside_another_reference_are_refused() -> None:
    detector = a_detector(3)
    reference = reference_of(detector, a_history(1, 3, 5_000))
    data = packed(counted(reference, sampled(detector, a_history(2, 3, 400))))
    with pytest.raises(ValueError, match="reshape"):
        unpacked(data, reference_of(a_detector(4), a_history(1, 4, 5_000)))


@pytest.mark.parametrize("digits", [1, 12])
def test_counting_loses_nothing_of_the_statistic(digits: int) -> None:
    """Of values that are measured in coarse steps neither, of which many are equal."""
    detector = replace(a_detector(2), clusters=np.zeros((1, 2)))
    reference = reference_of(detector, a_history(1, 2, 5_000, half=0.0).round(digits))
    values = (a_history(2, 2, 3_000, half=0.0) + 0.4).round(digits)
    found = {one.name: one for one in compared(detector, reference, sampled(detector, values))}
    for column, name in enumerate(("s00", "s01")):
        exact = ks_2samp(reference.values[:, column], values[:, column]).statistic
        assert found[name].statistic == pytest.approx(exact, abs=1e-12)


def test_a_slow_sensor_is_not_compared() -> None:
    detector = a_detector(4)
    reference = reference_of(detector, a_history(1, 4, 10_000))
    rows = sampled(detector, a_history(2, 4, 10_000) + 3.0)
    slow = np.array([False, True, False, False])
    found = look(detector.sensors, slow, reference, counted(reference, rows), LIMITS)
    assert "s01" not in {one.name for one in found}


def test_a_few_rows_tell_nothing() -> None:
    detector = a_detector(4)
    reference = reference_of(detector, a_history(1, 4, 10_000))
    values = a_history(2, 4, 10_000)[:29] + 5
    assert compared(detector, reference, sampled(detector, values)) == ()
    slow = a_history(2, 4, 40, phi=0.999) + 2.0
    assert drifting(compared(detector, reference, sampled(detector, slow))) == []


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.98])
def test_correlation_counts_as_theory_says(phi: float) -> None:
    rng = np.random.default_rng(3)
    series = rng.normal(size=200_000)
    for row in range(1, len(series)):
        series[row] += phi * series[row - 1]
    assert correlation_rows(series) == pytest.approx((1 + phi) / (1 - phi), rel=0.25)


def test_the_reference_is_of_normal_rows_alone() -> None:
    detector = a_detector(4)
    values = a_history(1, 4, 5_000)
    values[1_000:1_500] += 200.0
    reference = reference_of(detector, values)
    assert np.nanmax(reference.values) < 50
    assert reference.scores.max() <= 1.0


def test_the_reference_has_held_out_scores_where_there_are_some() -> None:
    detector = a_detector(4)
    values = a_history(1, 4, 5_000)
    times = np.arange(5_000, dtype=np.int64) * STEP_MS
    histories = [MachineHistory("m", times, values)]
    held_out = np.array([0.7] * 50 + [np.nan, 3.0])
    reference = make_reference(detector, names(4), histories, [held_out])
    assert set(reference.scores) == {0.7}


def test_the_reference_takes_the_detectors_columns() -> None:
    detector = a_detector(2)
    values = a_history(1, 3, 2_000)
    given = ("other", "s01", "s00")
    times = np.arange(2_000, dtype=np.int64) * STEP_MS
    reference = make_reference(detector, given, [MachineHistory("m", times, values)])
    rows = {tuple(row) for row in take(given, values, ("s00", "s01"))}
    assert {tuple(row) for row in reference.values} <= rows


def test_a_history_wholly_beyond_the_boundary_gives_no_reference() -> None:
    detector = a_detector(2)
    with pytest.raises(ValueError, match="no row of the histories is within the boundary"):
        reference_of(detector, a_history(1, 2, 500) + 500)
