"""How many rows a second Faultline scores, beside scikit-learn, PyOD and River.

All in one process, on one thread, on the same rows. Faultline does more than the others: it
averages each window, follows missing values and gaps, and keeps the machine's window from call to
call, judges the health of each sensor and follows drift. So there are two comparisons with
scikit-learn: its plain predict, which does none of that, and "means, scale, predict, distance",
which does a part. Each of Faultline's two distances is measured.
Run `python bench/score_speed.py --help`; bench/README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np
from sklearn.cluster import KMeans
from sklearn.preprocessing import RobustScaler
from threadpoolctl import threadpool_limits

from bench.recordings import Rows
from bench.synthetic import REGIMES, SENSORS, running_machine
from bench.table import table
from faultline.detector import Adaptation, Detector, MachineHistory, Window
from faultline.detector.fit import FitConfig, fit

MACHINE = "machine"
TRAINING_ROWS = 5_000
WINDOW_ROWS = 10
BATCHES = (1, 64, 2_000, 10_000)
LEAST_TIMES_SCIKIT_LEARN = {1: 50.0, 10_000: 0.9}
"""By batch size: what is aimed at."""
STREAM_ROWS = 100_000
QUICK_STREAM_ROWS = 10_000
MOST_CALLS = 3_000

ScoreBatch = Callable[[int], object]
"""Scores the batch of this number; batches are scored in order."""
Contender = Callable[[Rows], Callable[[Sequence[Rows]], ScoreBatch]]
"""Learns from training rows; is then given the batches, in whose form it may bring them before the
clock runs."""


def faultline_detector(
    train: Rows, distance: Literal["euclidean", "covariance"] = "euclidean"
) -> Detector:
    """Fit a detector with the number of clusters and the window that the benchmark is about."""
    times = 1_000 * np.arange(len(train), dtype=np.int64)
    config = FitConfig(k_min=REGIMES, k_max=REGIMES, window_rows=WINDOW_ROWS, distance=distance)
    sensors = tuple(f"sensor_{index}" for index in range(SENSORS))
    return fit(sensors, [MachineHistory(MACHINE, times, train)], config).detector


def _faultline(train: Rows) -> Callable[[Sequence[Rows]], ScoreBatch]:
    return _in_order(faultline_detector(train))


def _faultline_covariance(train: Rows) -> Callable[[Sequence[Rows]], ScoreBatch]:
    return _in_order(faultline_detector(train, "covariance"))


def _in_order(detector: Detector) -> Callable[[Sequence[Rows]], ScoreBatch]:
    """Score batch after batch of one machine, as the predictor does: each after the one before."""
    if len(detector.clusters) != REGIMES:
        raise RuntimeError(f"the fit found {len(detector.clusters)} clusters instead of {REGIMES}")

    def begin(batches: Sequence[Rows]) -> ScoreBatch:
        ends = 1_000 * np.cumsum([len(batch) for batch in batches])
        times = [
            np.arange(end - 1_000 * len(batch), end, 1_000, dtype=np.int64)
            for end, batch in zip(ends, batches, strict=True)
        ]
        window = Window.empty(detector.sensors)
        adaptation: Adaptation | None = None

        def score(index: int) -> object:
            nonlocal window, adaptation
            if index == 0:
                window, adaptation = Window.empty(detector.sensors), None
            scores, window = detector.score(
                window, times[index], batches[index], machine_id=MACHINE, adaptation=adaptation
            )
            adaptation = scores.adaptation
            return scores

        return score

    return begin


def _on_rows(score: Callable[[Rows], object]) -> Callable[[Sequence[Rows]], ScoreBatch]:
    return lambda batches: lambda index: score(batches[index])


def _predict(train: Rows) -> Callable[[Sequence[Rows]], ScoreBatch]:
    return _on_rows(KMeans(n_clusters=REGIMES, n_init=10, random_state=0).fit(train).predict)


def _predict_and_distance(train: Rows) -> Callable[[Sequence[Rows]], ScoreBatch]:
    model = KMeans(n_clusters=REGIMES, n_init=10, random_state=0).fit(train)
    return _on_rows(lambda rows: (model.predict(rows), model.transform(rows).min(axis=1)))


def _same_work(train: Rows) -> Callable[[Sequence[Rows]], ScoreBatch]:
    """Window means by running sums, scaled, their cluster and distance; rows carried over."""
    scaler = RobustScaler().fit(train)
    model = KMeans(n_clusters=REGIMES, n_init=10, random_state=0).fit(scaler.transform(train))
    carried = train[:0]

    def score(rows: Rows) -> object:
        nonlocal carried
        rows = np.concatenate((carried, rows))
        carried = rows[max(0, len(rows) - WINDOW_ROWS + 1) :]
        sums = np.cumsum(np.concatenate((np.zeros((1, SENSORS)), rows)), axis=0)
        means = (sums[WINDOW_ROWS:] - sums[:-WINDOW_ROWS]) / WINDOW_ROWS
        if not len(means):
            return None
        means = scaler.transform(means)
        return model.predict(means), model.transform(means).min(axis=1)

    return _on_rows(score)


def _pyod(module: str, name: str, **settings: Any) -> Contender:
    def learn(train: Rows) -> Callable[[Sequence[Rows]], ScoreBatch]:
        model = getattr(import_module(f"pyod.models.{module}"), name)(**settings)
        return _on_rows(model.fit(train).decision_function)

    return learn


def _half_space_trees(train: Rows) -> Callable[[Sequence[Rows]], ScoreBatch]:
    """Row by row, as River works; rows in (0, 1) and as dicts before the clock runs."""
    model = import_module("river.anomaly").HalfSpaceTrees(seed=0)
    low, high = train.min(axis=0), train.max(axis=0)

    def as_dicts(rows: Rows) -> list[dict[int, float]]:
        return [dict(enumerate(row)) for row in ((rows - low) / (high - low)).tolist()]

    for row in as_dicts(train):
        model.learn_one(row)

    def begin(batches: Sequence[Rows]) -> ScoreBatch:
        prepared = [as_dicts(batch) for batch in batches]
        return lambda index: [model.score_one(row) for row in prepared[index]]

    return begin


FAULTLINE = "Faultline Detector.score, Euclidean"
FAULTLINE_COVARIANCE = "Faultline Detector.score, covariance"
SCIKIT_LEARN = "scikit-learn KMeans.predict"
SAME_WORK = "scikit-learn means, scale, predict, distance"
CONTENDERS: Mapping[str, Contender] = {
    FAULTLINE: _faultline,
    FAULTLINE_COVARIANCE: _faultline_covariance,
    SCIKIT_LEARN: _predict,
    "scikit-learn predict, distance": _predict_and_distance,
    SAME_WORK: _same_work,
    "PyOD IForest": _pyod("iforest", "IForest", random_state=0),
    "PyOD ECOD": _pyod("ecod", "ECOD"),
    "PyOD KNN": _pyod("knn", "KNN"),
    "River HalfSpaceTrees": _half_space_trees,
}
OWN_PACKAGES = (FAULTLINE, FAULTLINE_COVARIANCE, SCIKIT_LEARN, SAME_WORK)
"""What needs no peer's package."""


def rows_per_second(score: ScoreBatch, batches: Sequence[Rows], seconds: float) -> float:
    """Score batch after batch for so long, at least one and at most all."""
    scored = 0
    begin = time.perf_counter()
    for index, batch in enumerate(batches):
        score(index)
        scored += len(batch)
        spent = time.perf_counter() - begin
        if spent > seconds:
            break
    return scored / spent


def measured(
    names: Sequence[str], stream: Rows, repeats: int, seconds: float
) -> dict[str, dict[int, float] | str]:
    """Rows per second by batch size, the best of several turns; or why there are none.

    The contenders take turns, so that another load on the machine meets all of them.
    """
    train = running_machine(TRAINING_ROWS, seed=1)
    found: dict[str, dict[int, float] | str] = {}
    learnt = {}
    for name in names:
        try:
            learnt[name] = CONTENDERS[name](train)
        except ModuleNotFoundError as error:
            found[name] = f"{error.name} is not installed"
        else:
            found[name] = {}
    for size in BATCHES:
        calls = min(MOST_CALLS, len(stream) // size)
        batches = [stream[index * size : (index + 1) * size] for index in range(calls)]
        ready = {name: begin(batches) for name, begin in learnt.items()}
        for _ in range(repeats):
            for name, score in ready.items():
                rates = found[name]
                assert isinstance(rates, dict)
                rate = rows_per_second(score, batches, seconds)
                rates[size] = max(rates.get(size, 0.0), rate)
    return found


def report(found: Mapping[str, dict[int, float] | str], repeats: int) -> str:
    """Lay out the rates, and how Faultline stands to scikit-learn."""
    lines = [
        [name, *(f"{rates[size]:,.0f}" for size in BATCHES)]
        if isinstance(rates, dict)
        else [name, rates, *[""] * (len(BATCHES) - 1)]
        for name, rates in found.items()
    ]
    header = ["rows per second, in batches of", *(f"{size:,}" for size in BATCHES)]
    note = (
        f"{SENSORS} sensors, {REGIMES} clusters, window of {WINDOW_ROWS} rows; one thread; the "
        f"best of {repeats}."
    )
    verdicts = [
        _verdict(own, _times(found, own, size, other), other, size, least)
        for other in (SCIKIT_LEARN, SAME_WORK)
        for size, least in LEAST_TIMES_SCIKIT_LEARN.items()
        for own in (FAULTLINE, FAULTLINE_COVARIANCE)
    ]
    return "\n".join([table(header, lines), "", note, *verdicts])


def _verdict(own: str, times: float, other: str, size: int, least: float) -> str:
    is_met = "met" if times >= least else "MISSED"
    return (
        f"aim {is_met}, batches of {size:,}: {own}: {times:.2f} times {other}; at least {least:g}"
    )


def _times(found: Mapping[str, dict[int, float] | str], own: str, size: int, other: str) -> float:
    """How many times as many rows Faultline scores; neither needs a peer's package."""
    own_rates, other_rates = found[own], found[other]
    assert isinstance(own_rates, dict)
    assert isinstance(other_rates, dict)
    return own_rates[size] / other_rates[size]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows, once: to see that it runs")
    parser.add_argument("--no-peers", action="store_true", help="scikit-learn alone beside it")
    parser.add_argument("--repeats", type=int, default=5, help="the best of so many turns")
    given = parser.parse_args(arguments)
    names = OWN_PACKAGES if given.no_peers else tuple(CONTENDERS)
    repeats, seconds = (1, 0.01) if given.quick else (given.repeats, 0.3)
    stream = running_machine(QUICK_STREAM_ROWS if given.quick else STREAM_ROWS, seed=2)
    with threadpool_limits(limits=1):
        print(report(measured(names, stream, repeats, seconds), repeats))


if __name__ == "__main__":
    main()
