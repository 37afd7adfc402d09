from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from faultline.detector.inverses import MOST_BYTES, Inverses

D = 10
COVARIANCE = 0.5 * np.ones((D, D)) + 0.5 * np.eye(D)


def without(*sensors: int) -> NDArray[np.bool_]:
    return ~np.isin(np.arange(D), sensors)


ONE_LESS = 2 * 8 * (D - 1) ** 2
"""Bytes of an inverse with one sensor less."""


def test_an_inverse_is_that_of_the_sensors_that_are_present_alone() -> None:
    present = without(2, 7)

    root, precision = Inverses(COVARIANCE).of(present)

    assert_allclose(precision @ COVARIANCE[np.ix_(present, present)], np.eye(8), atol=1e-12)
    assert_allclose(root @ root.T, precision, atol=1e-12)


def test_what_is_asked_for_again_is_not_made_again() -> None:
    inverses = Inverses(COVARIANCE)

    assert inverses.of(without(1)) is inverses.of(without(1))
    assert inverses.of(without()) is inverses.whole


def test_beyond_their_bytes_the_oldest_are_forgotten_and_no_others() -> None:
    inverses = Inverses(COVARIANCE, most_bytes=3 * ONE_LESS)
    first, *others = [inverses.of(without(sensor)) for sensor in range(3)]
    assert inverses.nbytes == 3 * ONE_LESS

    newest = inverses.of(without(3))

    assert inverses.nbytes == 3 * ONE_LESS
    kept = [inverses.of(without(sensor)) for sensor in (1, 2, 3)]
    assert all(one is before for one, before in zip(kept, [*others, newest], strict=True))
    assert inverses.of(without(0)) is not first


def test_one_that_is_larger_than_all_bytes_is_kept_until_the_next() -> None:
    inverses = Inverses(COVARIANCE, most_bytes=1)

    assert inverses.of(without(0)) is inverses.of(without(0))
    inverses.of(without(1))

    assert inverses.nbytes == ONE_LESS


@pytest.mark.parametrize("most_bytes", [5 * ONE_LESS, MOST_BYTES])
def test_threads_that_ask_at_once_are_all_answered_and_the_bytes_stay_counted(
    most_bytes: int,
) -> None:
    inverses = Inverses(COVARIANCE, most_bytes)

    def ask(seed: int) -> None:
        for sensor in np.random.default_rng(seed).integers(0, D, 300).tolist():
            assert_allclose(
                inverses.of(without(sensor)).precision,
                np.linalg.inv(COVARIANCE[: D - 1, : D - 1]),
                atol=1e-12,
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(8)))

    assert inverses.nbytes == min(most_bytes, D * ONE_LESS)
