"""The counts of this process for Prometheus, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from faultline.comparisons import SCORE_EDGES, Comparison

_PAIR = ["model", "champion", "challenger"]


class ComparisonCollector(Collector):
    """Champion and challenger, by pair of versions."""

    def __init__(self, counts: Callable[[], Sequence[Comparison]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand."""
        readings = CounterMetricFamily(
            "faultline_predictor_compared_readings",
            "Readings that champion and challenger both scored, and whether they agree on failure.",
            labels=[*_PAIR, "agreed"],
        )
        failures = CounterMetricFamily(
            "faultline_predictor_compared_failures",
            "Of these, what each of them called a failure.",
            labels=[*_PAIR, "role"],
        )
        alarms = CounterMetricFamily(
            "faultline_predictor_compared_alarms",
            "Alarms that the alarm rule opened on the verdicts of each of them.",
            labels=[*_PAIR, "role"],
        )
        scores = HistogramMetricFamily(
            "faultline_predictor_compared_scores",
            "Scores that each of them gave.",
            labels=[*_PAIR, "role"],
        )
        # Numbers that mean another version now have both counters until those before are told.
        latest = {one.pair[: len(_PAIR)]: one for one in self._counts()}
        for pair, one in latest.items():
            readings.add_metric([*pair, "yes"], one.agreed)
            readings.add_metric([*pair, "no"], one.readings - one.agreed)
            for role, side in (("champion", one.champion), ("challenger", one.challenger)):
                labels = [*pair, role]
                failures.add_metric(labels, side.failures)
                alarms.add_metric(labels, side.alarms)
                ends = (*map(str, SCORE_EDGES), "+Inf")
                buckets = list(zip(ends, map(float, accumulate(side.scores)), strict=True))
                scores.add_metric(labels, buckets=buckets, sum_value=None)
        return readings, failures, alarms, scores
