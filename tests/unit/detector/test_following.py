"""Several steps are learnt from at once; nothing may come of that but speed."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from faultline.detector.adaptation import Adaptation, AdaptationRule
from faultline.detector.covariance import Metric
from faultline.detector.following import FOLLOWED_SHARE, learnt
from faultline.detector.frame import Frame

D, BOUNDARY = 3, 2.0
CLUSTERS = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
COVARIANCE = 0.5 * np.ones((D, D)) + 0.5 * np.eye(D)
RULE = AdaptationRule(step_rows=10, follow_rows=25, settle_ms=3_000)


def frame(*, covariance: bool = False) -> Frame:
    metric = Metric(COVARIANCE if covariance else None)
    return Frame(metric, CLUSTERS, np.full(D, 0.1), BOUNDARY)


def times(steps: int) -> NDArray[np.int64]:
    return 1_000 * np.arange(steps, dtype=np.int64)


@st.composite
def steps(draw: st.DrawFn) -> NDArray[np.float64]:
    """A machine between two clusters that drifts, fails, and loses values."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 120))
    means = CLUSTERS[rng.integers(2, size=n)] + 0.1 + rng.normal(scale=0.4, size=(n, D))
    means[:, 0] += draw(st.sampled_from([0.0, 1.0, 1.6])) * np.arange(n) / n
    means[rng.random(n) < draw(st.sampled_from([0.0, 0.02, 0.3])), 2] += 6.0
    means[rng.random(n) < draw(st.sampled_from([0.0, 0.0, 0.1])), 1] = np.nan
    return means


@settings(max_examples=150, deadline=None)
@given(steps(), st.booleans(), st.booleans())
def test_steps_learnt_from_at_once_teach_the_same_as_one_by_one(
    means: NDArray[np.float64], covariance: bool, wide: bool
) -> None:
    own, known = frame(covariance=covariance), Adaptation.start(D)
    widened = np.full(means.shape, 1.2) if wide else None
    together = learnt(own, RULE, known, times_ms=times(len(means)), means=means, widened=widened)

    assert len(together) == len(means)
    for at, found in enumerate(together):
        row = slice(at, at + 1)
        (known,) = learnt(
            own,
            RULE,
            known,
            times_ms=times(len(means))[row],
            means=means[row],
            widened=None if widened is None else widened[row],
        )
        assert found.offset.tobytes() == known.offset.tobytes()
        for one, other in (
            (found.new_normal, known.new_normal),
            (found.proposed, known.proposed),
        ):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert_array_equal(one.places, other.places)


def test_drift_takes_rows_to_the_cluster_that_they_are_nearest_to_by_then() -> None:
    # Where nothing has drifted yet the last row is nearer to the second cluster.
    means = np.array([[0.8, 0.0, 0.0]] * 20 + [[1.7, 0.0, 0.0]]) + 0.1

    after = learnt(
        frame(), RULE, Adaptation.start(D), times_ms=times(21), means=means, widened=None
    )

    assert after[-1].offset[0] > after[-2].offset[0]


def test_drift_is_followed_no_further_than_its_part_of_the_boundary() -> None:
    means = np.array([[1.4, 0.0, 0.0]] * 40) + 0.1

    after = learnt(
        frame(), RULE, Adaptation.start(D), times_ms=times(40), means=means, widened=None
    )

    lengths = [float(np.linalg.norm(one.offset)) for one in after]
    assert max(lengths) <= FOLLOWED_SHARE * BOUNDARY * (1 + 1e-12)
    assert lengths[-1] > 0.99 * FOLLOWED_SHARE * BOUNDARY
