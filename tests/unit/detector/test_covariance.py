from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from faultline.detector.covariance import Metric

Rows = NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def random_covariance(rng: np.random.Generator, d: int) -> Rows:
    """Correlated sensors of unlike variance, well enough conditioned to be compared."""
    root = rng.normal(size=(d, d)) * rng.uniform(0.3, 3.0, size=(d, 1))
    covariance: Rows = root @ root.T + 0.1 * np.eye(d)
    return covariance


def with_holes(rng: np.random.Generator, rows: Rows) -> Rows:
    """Some values missing, but none of the first sensor."""
    holes = rng.random(rows.shape) < 0.3
    holes[:, 0] = False
    return np.where(holes, np.nan, rows)


def mahalanobis(deviation: Rows, covariance: Rows) -> float:
    return float(np.sqrt(deviation @ np.linalg.solve(covariance, deviation)))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 12), st.integers(1, 4))
def test_the_distance_is_that_of_mahalanobis_to_the_nearest_cluster(
    seed: int, d: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    covariance = random_covariance(rng, d)
    rows, clusters = rng.normal(size=(5, d)), rng.normal(size=(k, d))

    distance, cluster = Metric(covariance).nearest(rows, None, clusters)

    expected = np.array(
        [[mahalanobis(row - centre, covariance) for centre in clusters] for row in rows]
    )
    assert_allclose(distance, expected.min(axis=1), rtol=1e-9)
    assert_array_equal(cluster, expected.argmin(axis=1))


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 12))
def test_sensors_that_are_missing_leave_the_covariance_of_the_others(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    covariance, clusters = random_covariance(rng, d), rng.normal(size=(2, d))
    rows = with_holes(rng, rng.normal(size=(8, d)))

    distance, _ = Metric(covariance).nearest(rows, None, clusters)

    for row, found in zip(rows, distance, strict=True):
        has = np.isfinite(row)
        part = covariance[np.ix_(has, has)]
        nearest = min(mahalanobis(row[has] - centre[has], part) for centre in clusters)
        assert found == pytest.approx(nearest * np.sqrt(d / has.sum()), rel=1e-9)


def test_what_a_deviation_is_divided_by_widens_that_sensor_alone() -> None:
    rng = np.random.default_rng(0)
    covariance, rows = random_covariance(rng, 4), rng.normal(size=(6, 4))
    widened = rng.uniform(1, 3, size=(6, 4))
    clusters = rng.normal(size=(1, 4))

    distance, _ = Metric(covariance).nearest(rows, widened, clusters)

    for row, by, found in zip(rows, widened, distance, strict=True):
        assert found == pytest.approx(mahalanobis((row - clusters[0]) / by, covariance), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 200), st.integers(1, 60), st.integers(1, 3), st.booleans())
def test_rows_measured_one_by_one_have_the_same_bits_as_all_at_once(
    seed: int, n: int, d: int, k: int, holes: bool
) -> None:
    rng = np.random.default_rng(seed)
    metric, clusters = Metric(random_covariance(rng, d)), rng.normal(size=(k, d))
    rows = rng.normal(size=(n, d))
    rows = with_holes(rng, rows) if holes else rows

    together = metric.nearest(rows, None, clusters)
    alone = [metric.nearest(rows[i : i + 1], None, clusters) for i in range(n)]

    assert_array_equal(np.concatenate([one[0] for one in alone]), together[0])
    assert_array_equal(np.concatenate([one[1] for one in alone]), together[1])


def test_a_row_without_holes_has_the_same_bits_beside_one_with_holes() -> None:
    rng = np.random.default_rng(0)
    metric, clusters = Metric(random_covariance(rng, 8)), rng.normal(size=(3, 8))
    whole = rng.normal(size=(1, 8))
    holed = np.where(np.arange(8) == 3, np.nan, whole)

    alone, _ = metric.nearest(whole, None, clusters)
    beside, _ = metric.nearest(np.vstack((holed, whole)), None, clusters)

    assert beside[1] == alone[0]


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(2, 20), st.booleans())
def test_the_part_of_the_one_faulty_sensor_is_the_largest_and_none_is_negative(
    seed: int, d: int, euclidean: bool
) -> None:
    rng = np.random.default_rng(seed)
    metric = Metric(None if euclidean else random_covariance(rng, d))
    faulty = int(rng.integers(d))
    deviation = np.zeros((1, d))
    deviation[0, faulty] = rng.normal()

    squares, unexplained, _ = metric.parts(deviation)

    assert (squares >= 0).all()
    assert squares[0].argmax() == faulty
    assert_allclose(unexplained[0, faulty], deviation[0, faulty], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 10))
def test_a_part_is_by_how_much_the_squared_distance_falls_without_that_fault(
    seed: int, d: int
) -> None:
    rng = np.random.default_rng(seed)
    covariance, deviation = random_covariance(rng, d), rng.normal(size=(1, d))

    squares, unexplained, tolerance = Metric(covariance).parts(deviation)

    whole = mahalanobis(deviation[0], covariance) ** 2
    for sensor in range(d):
        others = np.arange(d) != sensor
        # The best fitting value leaves the distance over the other sensors alone.
        rest = mahalanobis(deviation[0, others], covariance[np.ix_(others, others)]) ** 2
        weights = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, sensor])
        assert squares[0, sensor] == pytest.approx(whole - rest, rel=1e-6, abs=1e-9 * whole)
        assert unexplained[0, sensor] == pytest.approx(
            deviation[0, sensor] - weights @ deviation[0, others], rel=1e-6, abs=1e-9
        )
        assert np.broadcast_to(tolerance, deviation.shape)[0, sensor] ** 2 == pytest.approx(
            covariance[sensor, sensor] - weights @ covariance[others, sensor], rel=1e-6
        )


def test_a_missing_sensor_has_no_part() -> None:
    covariance = random_covariance(np.random.default_rng(0), 3)
    deviation = np.array([[1.0, np.nan, 2.0]])

    squares, unexplained, _ = Metric(covariance).parts(deviation)
    others = Metric(covariance[np.ix_([0, 2], [0, 2])]).parts(deviation[:, [0, 2]])

    assert (squares[0, 1], unexplained[0, 1]) == (0.0, 0.0)
    assert_allclose(squares[0, [0, 2]], others[0][0])


def test_without_a_covariance_it_is_the_euclidean_distance() -> None:
    rows, clusters = np.array([[3.0, 4.0], [9.0, np.nan]]), np.array([[0.0, 0.0], [10.0, 10.0]])

    distance, cluster = Metric(None).nearest(rows, None, clusters)

    assert_allclose(distance, [5.0, np.sqrt(2)])
    assert cluster.tolist() == [0, 1]


@pytest.mark.parametrize("euclidean", [True, False])
def test_more_variance_in_a_sensor_adds_to_its_own(euclidean: bool) -> None:
    covariance = random_covariance(np.random.default_rng(0), 3)
    extra, row = np.array([0.0, 4.0, 1.0]), np.array([1.0, -2.0, 3.0])

    wider = Metric(None if euclidean else covariance).widened_by(extra)
    distance, _ = wider.nearest(row[np.newaxis], None, np.zeros((1, 3)))

    before = np.eye(3) if euclidean else covariance
    assert distance[0] == pytest.approx(mahalanobis(row, before + np.diag(extra)), rel=1e-9)


def test_a_covariance_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        Metric(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_patterns_of_missing_sensors_without_end_are_measured_right() -> None:
    rng = np.random.default_rng(0)
    covariance = random_covariance(rng, 10)
    metric = Metric(covariance)

    for pattern in range(1, 300):
        has = np.array([bool(pattern >> bit & 1) for bit in range(10)])
        row = np.where(has, rng.normal(size=10), np.nan)
        distance, _ = metric.nearest(row[np.newaxis], None, np.zeros((1, 10)))
        expected = mahalanobis(row[has], covariance[np.ix_(has, has)])
        assert distance[0] == pytest.approx(expected * np.sqrt(10 / has.sum()), rel=1e-9)
