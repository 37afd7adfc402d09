"""Complete rows take a faster path; it must give the same bits as the one for incomplete rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from faultline.detector import Detector, RowState, Scores, Window
from faultline.detector.adaptation import AdaptationRule
from faultline.detector.covariance import Metric
from faultline.detector.distance import nearest_cluster, nearest_complete, rows_at_once
from faultline.detector.health import HealthLimits

D, K, WINDOW_ROWS = 5, 3, 10
COVARIANCE = 0.6 * np.ones((D, D)) + 0.4 * np.eye(D)
FOLLOWING = AdaptationRule(step_rows=70, follow_rows=500, settle_ms=400_000)


def a_detector(distance: str, rule: AdaptationRule) -> Detector:
    rng = np.random.default_rng(0)
    limits = HealthLimits(
        np.full(D, -900.0), np.full(D, 900.0), np.full(D, 2, np.int64), np.full(D, 2, np.int64)
    )
    return Detector(
        sensors=tuple("abcde"),
        window_rows=WINDOW_ROWS,
        max_gap_ms=5_000,
        centre=rng.normal(size=D),
        scale=rng.uniform(0.5, 2.0, D),
        spread=np.ones(D),
        clusters=rng.normal(size=(K, D)),
        covariance=COVARIANCE if distance == "covariance" else np.zeros((0, 0)),
        boundary=1.5,
        unknown_score=3.0,
        rule=rule,
        limits=limits,
    )


def a_stream(rows: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(rows, D))
    values[rows // 2 :] += np.linspace(0, 3, rows - rows // 2)[:, np.newaxis]
    values[rows // 3, 1] = 1e300
    values[rows // 4, 2] = np.inf
    return values


def scored(detector: Detector, values: NDArray[np.float64], cuts: Sequence[int]) -> list[Scores]:
    """Score a stream in the pieces between the cuts."""
    times = 1_000 * np.arange(len(values), dtype=np.int64)
    window, adaptation, found = Window.empty(detector.sensors), None, []
    for start, stop in zip([0, *cuts], [*cuts, len(values)], strict=True):
        scores, window = detector.score(
            window, times[start:stop], values[start:stop], adaptation=adaptation
        )
        adaptation = scores.adaptation
        found.append(scores)
    return found


def bits(found: Sequence[Scores]) -> list[bytes]:
    names = ("state", "score", "cluster", "known", "settled", "sensor_fault", "means", "counts")
    return [np.concatenate([getattr(part, name) for part in found]).tobytes() for name in names]


cases = pytest.mark.parametrize(
    ("distance", "rule"),
    [
        ("euclidean", AdaptationRule(1, 0, 0)),
        ("covariance", AdaptationRule(1, 0, 0)),
        ("euclidean", FOLLOWING),
        ("covariance", FOLLOWING),
    ],
)


@cases
def test_bits_do_not_depend_on_how_the_stream_is_cut(distance: str, rule: AdaptationRule) -> None:
    detector = a_detector(distance, rule)
    rows = rows_at_once(D) + 500
    values = a_stream(rows)
    whole = bits(scored(detector, values, []))
    assert bits(scored(detector, values, range(1, rows))) == whole
    cuts = np.cumsum(np.random.default_rng(2).integers(1, 90, 40))
    assert bits(scored(detector, values, cuts[cuts < rows].tolist())) == whole


@cases
def test_a_value_missing_elsewhere_changes_no_bit_of_complete_rows(
    distance: str, rule: AdaptationRule
) -> None:
    detector = a_detector(distance, rule)
    values = np.random.default_rng(3).normal(size=(60, D))
    with_a_hole = values.copy()
    with_a_hole[40, 1] = np.nan
    complete, holed = scored(detector, values, [])[0], scored(detector, with_a_hole, [])[0]
    assert np.isnan(complete.score[: WINDOW_ROWS - 1]).all()
    untouched = np.r_[WINDOW_ROWS:40, 40 + WINDOW_ROWS : 60]
    assert (complete.state[untouched] == RowState.SCORED).all()
    assert complete.score[untouched].tobytes() == holed.score[untouched].tobytes()
    assert complete.means[untouched].tobytes() == holed.means[untouched].tobytes()
    assert complete.score[45] != holed.score[45]


@pytest.mark.parametrize("covariance", [None, COVARIANCE])
@pytest.mark.parametrize("rows", [1, 24, 25, 64, 3_000])
def test_a_metric_gives_a_row_the_same_bits_among_incomplete_ones(
    covariance: NDArray[np.float64] | None, rows: int
) -> None:
    rng = np.random.default_rng(4)
    metric, places, clusters = (
        Metric(covariance),
        rng.normal(size=(rows, D)),
        rng.normal(size=(7, D)),
    )
    holed = np.concatenate((places, np.where(np.arange(D) == 2, np.nan, places[:1])))
    widened = np.ones_like(holed)
    widened[-1] = 2.0
    distance, cluster = metric.nearest(places, None, clusters)
    for given in (None, widened):
        other_distance, other_cluster = metric.nearest(holed, given, clusters)
        assert other_distance[:-1].tobytes() == distance.tobytes()
        assert other_cluster[:-1].tolist() == cluster.tolist()


def test_where_two_clusters_are_as_near_the_first_is_taken_in_any_batch() -> None:
    rng = np.random.default_rng(5)
    clusters = rng.normal(size=(4, D))
    clusters[3] = clusters[1]
    middle = np.array([(clusters[0] + clusters[2]) / 2])
    rows = np.concatenate([clusters, np.repeat(middle, 50, axis=0), 1e6 * rng.normal(size=(9, D))])
    distance, cluster = nearest_complete(rows, clusters)
    alone = [nearest_complete(rows[at : at + 1], clusters) for at in range(len(rows))]
    assert cluster[:4].tolist() == [0, 1, 2, 1]
    assert cluster.tolist() == [int(one[1][0]) for one in alone]
    assert distance.tobytes() == np.concatenate([one[0] for one in alone]).tobytes()


def test_the_proposed_cluster_is_the_nearest_one() -> None:
    rng = np.random.default_rng(6)
    clusters, rows = rng.normal(size=(9, D)), rng.normal(size=(5_000, D))
    squares = np.square(rows[:, np.newaxis] - clusters).sum(axis=2)
    distance, cluster = nearest_cluster(rows, None, clusters)
    assert (cluster == squares.argmin(axis=1)).all()
    np.testing.assert_allclose(distance, np.sqrt(squares.min(axis=1)), rtol=1e-14)


def test_a_range_that_cuts_off_does_so_in_complete_rows() -> None:
    detector = a_detector("euclidean", AdaptationRule(1, 0, 0))
    assert detector.limits is not None
    narrow = replace(detector, limits=replace(detector.limits, high=np.full(D, 0.5)))
    values = np.random.default_rng(7).normal(size=(200, D))
    drawn_in = np.minimum(values, 0.5)
    assert bits(scored(narrow, values, []))[6] == bits(scored(narrow, drawn_in, []))[6]


@pytest.mark.parametrize("rows", [1, 24, 25, 3_000])
def test_the_distance_to_one_cluster_has_the_bits_of_that_among_several(rows: int) -> None:
    rng = np.random.default_rng(8)
    cluster, places = rng.normal(size=(1, D)), rng.normal(size=(rows, D))
    distance, which = nearest_complete(places, cluster)
    among, _ = nearest_complete(places, np.concatenate((cluster, cluster + 100.0)))
    assert distance.tobytes() == among.tobytes()
    assert not which.any()


@pytest.mark.parametrize("place", [0, 300, 899])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e3, 1e3, 1e308])
def test_a_value_that_is_missing_or_out_of_range_is_seen_among_sound_ones(
    place: int, value: float
) -> None:
    values = np.random.default_rng(9).normal(size=(900, D))
    values[place, 2] = value
    health = scored(a_detector("euclidean", FOLLOWING), values, [10, 11])
    missing = np.concatenate([part.health.missing for part in health])
    beyond = np.concatenate([part.health.out_of_range for part in health])
    assert np.argwhere(missing | beyond).tolist() == [[place, 2]]
    assert missing.any() == (not np.isfinite(value))
