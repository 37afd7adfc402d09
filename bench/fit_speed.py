"""How long Faultline takes to choose k and to fit, beside the plain loop over k in scikit-learn.

All in one process, with linear algebra and k-means on one thread. Run
`python bench/fit_speed.py --help`; bench/README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from bench.recordings import Rows
from bench.synthetic import SENSORS, running_machine
from bench.table import table
from faultline.detector import MachineHistory
from faultline.detector.clusters import ClusterSettings, try_every_k
from faultline.detector.fit import FitConfig, fit

K_MIN, K_MAX = 2, 12
ROWS, MANY_ROWS = 20_000, 200_000
QUICK_ROWS, QUICK_MANY_ROWS = 2_000, 4_000
LEAST_TIMES_FASTER = 20
MOST_TIMES_SLOWER = 4

Choose = Callable[[Rows], int]


def plain_loop(rows: Rows) -> int:
    """Choose k as a notebook does: every k with ten starts, and the silhouette of all rows."""
    silhouettes = {}
    for k in range(K_MIN, K_MAX + 1):
        labels = KMeans(n_clusters=k, n_init=10, random_state=0).fit(rows).labels_
        silhouettes[k] = silhouette_score(rows, labels)
    return max(silhouettes, key=lambda k: silhouettes[k])


def faultlines_choice(rows: Rows) -> int:
    """Choose k as `fit` does: with the tests of size, separation and stability."""
    config = FitConfig()
    settings = ClusterSettings(
        smallest_share=config.smallest_cluster_share,
        finest=K_MAX,
        max_rows=config.max_cluster_rows,
        silhouette_sample_rows=config.silhouette_sample_rows,
        seed=config.seed,
    )
    return try_every_k(rows, K_MIN, K_MAX, settings)[1]


def faultlines_fit(rows: Rows) -> int:
    """Fit a whole detector: period, windows, k, clusters, boundary from held-out blocks."""
    sensors = tuple(f"sensor_{index}" for index in range(rows.shape[1]))
    times = 1_000 * np.arange(len(rows), dtype=np.int64)
    config = FitConfig(k_min=K_MIN, k_max=K_MAX)
    return fit(sensors, [MachineHistory("machine", times, rows)], config).k


def best_of(choose: Choose, rows: Rows, repeats: int) -> tuple[float, int]:
    """Shortest time in seconds, and the k that was chosen."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        k = choose(rows)
        seconds.append(time.perf_counter() - begin)
    return min(seconds), k


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows, once: to see that it runs")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs")
    given = parser.parse_args(arguments)
    few, many = (QUICK_ROWS, QUICK_MANY_ROWS) if given.quick else (ROWS, MANY_ROWS)
    repeats = 1 if given.quick else given.repeats
    with threadpool_limits(limits=1):
        print(report(running_machine(many), few, repeats))


def report(values: Rows, few: int, repeats: int) -> str:
    """Measure on the first `few` rows and on all, and lay out what came of it."""
    contenders: Sequence[tuple[str, Choose, Sequence[Rows]]] = (
        ("plain loop: KMeans(n_init=10), silhouette of all rows", plain_loop, [values[:few]]),
        ("Faultline: choice of k", faultlines_choice, [values[:few], values]),
        ("Faultline: whole fit", faultlines_fit, [values[:few], values]),
    )
    seconds: dict[tuple[str, int], float] = {}
    lines = []
    for name, choose, tables in contenders:
        for rows in tables:
            best, k = best_of(choose, rows, repeats)
            seconds[name, len(rows)] = best
            lines.append([name, f"{len(rows):,}", str(k), f"{best:.2f}"])
    (plain, _), *own = seconds
    slowest = seconds[plain, few]
    verdicts = [
        f"{name}: {slowest / seconds[name, few]:.1f} times as fast as the plain loop (aim: at "
        f"least {LEAST_TIMES_FASTER}); {len(values) // few} times the rows take "
        f"{seconds[name, len(values)] / seconds[name, few]:.1f} times as long (aim: at most "
        f"{MOST_TIMES_SLOWER})"
        for name in dict.fromkeys(name for name, _ in own)
    ]
    header = [f"k from {K_MIN} to {K_MAX}, {SENSORS} sensors", "rows", "k", "seconds"]
    note = f"One thread; the best of {repeats}."
    return "\n".join([table(header, lines), "", note, *verdicts])


if __name__ == "__main__":
    main()
