"""The peers: thresholds from training alone, and the control charts' limits."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from bench import table
from bench.control_charts import hotelling_t2_and_q, q_limit_of, t2_limit_of


def correlated(seed: int, rows: int) -> np.ndarray:
    """Six sensors that follow two causes."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(2, 6))
    return rng.normal(size=(rows, 2)) @ mixing + 0.1 * rng.normal(size=(rows, 6))


def test_the_t2_limit_is_the_tables() -> None:
    # 2 (30^2 - 1) / (30 * 28) * F(0.99; 2, 28), and the F of the tables is 5.45.
    assert t2_limit_of(2, 30) == pytest.approx(2 * 899 / 840 * 5.45, rel=1e-3)


def test_the_q_limit_is_near_the_chi_square_that_it_approximates() -> None:
    # Ten equal variances of 1: chi-square with 10 degrees of freedom, 23.21 at 99 %.
    assert q_limit_of(np.ones(10)) == pytest.approx(23.21, rel=0.01)
    assert q_limit_of(np.empty(0)) == np.inf


def test_the_control_charts_alarm_on_two_percent_of_normal_rows_at_most() -> None:
    fitted = hotelling_t2_and_q(correlated(0, 2_000))

    (bad,) = fitted.bad(correlated(1, 20_000)).values()

    assert 0.005 < bad.mean() < 0.025


def test_q_finds_a_broken_correlation_and_t2_a_large_common_move() -> None:
    fitted = hotelling_t2_and_q(correlated(0, 2_000))
    broken, moved = correlated(2, 1), 8 * correlated(2, 1)
    broken[0, 0] += 2.0

    (bad,) = fitted.bad(np.vstack((broken, moved))).values()

    assert bad.tolist() == [True, True]


@pytest.mark.parametrize(
    "name", ["PyOD IForest", "PyOD ECOD", "PyOD KNN", "PyOD PCA", "River HalfSpaceTrees"]
)
def test_a_peers_quantile_lets_few_training_rows_over(name: str) -> None:
    reason = "the extra `peers` is not installed"
    pytest.importorskip("pyod", reason=reason)
    pytest.importorskip("river", reason=reason)
    from bench.peers import PEERS  # noqa: PLC0415

    train = correlated(0, 400)
    fitted = PEERS[name](train)

    # KNN's training scores are those of rows that are their own neighbours.
    allowed = 0.05 if name == "PyOD KNN" else 0.005
    assert fitted.bad(train)["quantile"].mean() <= allowed
    assert fitted.thresholds.get("default 10 %", -np.inf) < fitted.thresholds["quantile"]


def test_the_tables_example_is_true() -> None:
    assert doctest.testmod(table).failed == 0
