"""What must hold of every fitted detector, whatever it was fitted to."""

from __future__ import annotations

from functools import cache
from typing import Literal

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from faultline.detector import Detector, MachineHistory, RowState, Scores, Window
from faultline.detector.fit import Fit, FitConfig, fit

Rows = NDArray[np.float64]
Distance = Literal["euclidean", "covariance"]
SENSORS = ("a", "b", "c", "d")
ROWS = 400
CASES = [(distance, rows) for distance in ("euclidean", "covariance") for rows in (1, 10)]

few = settings(max_examples=4, deadline=None, phases=[Phase.generate])  # a fit takes its time
many = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def times(rows: int) -> NDArray[np.int64]:
    return 1_000 * np.arange(rows, dtype=np.int64)


def machine_rows(seed: int, rows: int = ROWS) -> Rows:
    """Correlated sensors in two regimes."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(rows, 4)) @ np.array(
        [[1.0, 0.8, 0.0, 0.0], [0.0, 0.6, 0.0, 0.5], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.3, 1.0]]
    )
    values: Rows = mixed + 25.0 * (np.arange(rows) // 40 % 2)[:, np.newaxis]
    return values


def faulty_rows(seed: int) -> Rows:
    values = machine_rows(seed)
    values[ROWS // 2 :, 1] += 6.0
    return values


def fitted(values: Rows, sensors: tuple[str, ...] = SENSORS, **config: object) -> Fit:
    history = MachineHistory("m", times(len(values)), values)
    return fit(sensors, [history], FitConfig(k_max=2, **config))  # type: ignore[arg-type]


@cache
def detector(distance: Distance, window_rows: int) -> Detector:
    return fitted(machine_rows(0), distance=distance, window_rows=window_rows).detector


def scored(judge: Detector, values: Rows) -> Scores:
    return judge.score(Window.empty(judge.sensors), times(len(values)), values)[0]


def assert_same_scores(one: Rows, other: Rows) -> None:
    # Values of up to a thousand times their deviations keep 12 of 15 digits of these, and what
    # follows is well conditioned.
    assert_allclose(one, other, rtol=1e-9)


@few
@given(
    st.lists(
        st.tuples(st.floats(1e-3, 1e3), st.booleans(), st.floats(-1e3, 1e3)),
        min_size=4,
        max_size=4,
    ),
    st.integers(0, 5),
)
def test_the_unit_of_a_sensor_does_not_matter(
    units: list[tuple[float, bool, float]], seed: int
) -> None:
    factor = np.array([-size if flipped else size for size, flipped, _ in units])
    # Another zero, but one that leaves as many digits to every sensor.
    zero = np.array([by for _, _, by in units]) * np.abs(factor)
    train, test = machine_rows(seed), faulty_rows(seed + 100)

    plain = scored(fitted(train).detector, test)
    other = scored(fitted(train * factor + zero).detector, test * factor + zero)

    assert (plain.score > 1).sum() > ROWS // 3
    assert_same_scores(other.score, plain.score)


@few
@given(st.permutations(range(4)), st.integers(0, 5))
def test_the_order_of_the_sensors_does_not_matter(order: list[int], seed: int) -> None:
    train, test = machine_rows(seed), faulty_rows(seed + 100)
    names = tuple(SENSORS[column] for column in order)
    plain, other = fitted(train).detector, fitted(train[:, order], names).detector
    one, two = scored(plain, test), scored(other, test[:, order])

    assert_same_scores(two.score, one.score)
    row = ROWS - 1
    shares = {part.sensor: part.share for part in plain.explain(one, row)}
    assert {part.sensor: part.share for part in other.explain(two, row)} == pytest.approx(shares)


@pytest.mark.parametrize(("distance", "window_rows"), CASES)
@many
@given(seed=seeds, wild=st.sampled_from([0.0, 1.0, 30.0, 1e6]), holes=st.booleans())
def test_contributions_are_not_negative_and_sum_to_one(
    distance: Distance, window_rows: int, seed: int, wild: float, holes: bool
) -> None:
    judge, rng = detector(distance, window_rows), np.random.default_rng(seed)
    values = machine_rows(seed, 30) + wild * rng.normal(size=(30, 4))
    if holes:
        values[rng.random((30, 4)) < 0.3] = np.nan
    scores = scored(judge, values)

    for parts in judge.explain_rows(scores, np.flatnonzero(scores.state == RowState.SCORED)):
        shares = [part.share for part in parts]
        assert min(shares) >= 0
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares, reverse=True)
        assert all(part.expected_low <= part.expected <= part.expected_high for part in parts)
        assert all((part.observed > part.expected) == (part.direction == "high") for part in parts)


def leads_away(judge: Detector, ray: Rows, place: Rows) -> bool:
    """Whether from a place on, in scales, the ray leads away from every cluster."""
    precision = np.linalg.inv(judge.covariance) if judge.covariance.size else np.eye(len(ray))
    return bool(((place - judge.clusters) @ precision @ ray >= 0).all())


@pytest.mark.parametrize(("distance", "window_rows"), CASES)
@many
@given(seed=seeds, factors=st.lists(st.floats(1.0, 1.5), min_size=2, max_size=4))
def test_a_row_beyond_all_clusters_scores_no_less_when_pushed_further_out(
    distance: Distance, window_rows: int, seed: int, factors: list[float]
) -> None:
    judge = detector(distance, window_rows)
    assert len(judge.clusters) == 2
    ray = np.random.default_rng(seed).normal(size=4)

    def score_at(place: Rows) -> tuple[float, int]:
        row = judge.centre + judge.scale * place
        assert judge.limits is not None
        assume(((judge.limits.low < row) & (row < judge.limits.high)).all())
        scores = scored(judge, np.tile(row, (window_rows, 1)))
        return float(scores.score[-1]), int(scores.cluster[-1])

    ray *= 1.5 * judge.boundary / np.linalg.norm(ray)
    place = judge.clusters[seed % 2] + ray
    score, nearest = score_at(place)
    ray = place - judge.clusters[nearest]
    assume(score > 1 and leads_away(judge, ray, place))
    for reach in np.cumprod(factors):
        further, _ = score_at(judge.clusters[nearest] + reach * ray)
        assert further >= score * (1 - 1e-12)
        score = further
