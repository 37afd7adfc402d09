"""Counting what two versions make of the same readings."""

from __future__ import annotations

import numpy as np

from faultline.comparisons import Pair, binned, decode, encode
from faultline.verdicts import Status, Verdict
from services.predictor.tally import Tally


def _verdict(second: int, score: float | None) -> Verdict:
    if score is None:
        return Verdict(timestamp_ms=second, status=Status.WARMING_UP)
    status = Status.FAILURE if score > 1.0 else Status.NORMAL
    return Verdict(timestamp_ms=second, status=status, score=score)


def _verdicts(*scores: float | None) -> list[Verdict]:
    return [_verdict(second, score) for second, score in enumerate(scores)]


def _tally() -> Tally:
    return Tally(Pair("faultline-pump", "1", "2"), now_ms=100)


def test_readings_that_both_scored_are_counted_with_their_agreement() -> None:
    tally = _tally()
    compared = tally.add(
        _verdicts(0.5, 2.0, 0.5, None, 0.5), _verdicts(0.5, 2.0, 1.5, 0.5, None), (), (), 200
    )
    counts = tally.value()
    assert (compared, counts.readings, counts.agreed) == (3, 3, 2)
    assert (counts.champion.failures, counts.challenger.failures) == (1, 2)
    assert (counts.since_ms, counts.until_ms) == (100, 200)


def test_scores_are_counted_per_bin() -> None:
    tally = _tally()
    tally.add(_verdicts(0.5, 2.0), _verdicts(0.5, 99.0), (), (), 200)
    tally.add(_verdicts(0.5), _verdicts(0.5), (), (), 300)
    counts = tally.value()
    assert counts.champion.scores == binned(np.array([0.5, 0.5, 2.0]))
    assert counts.challenger.scores == binned(np.array([0.5, 0.5, 99.0]))


def test_an_alarm_counts_where_both_had_scored_the_reading_that_opened_it() -> None:
    tally = _tally()
    tally.add(_verdicts(2.0, 2.0), _verdicts(None, 2.0), {0, 1}, {1}, 200)
    counts = tally.value()
    assert (counts.champion.alarms, counts.challenger.alarms) == (1, 1)


def test_a_lasting_new_state_is_no_failure() -> None:
    tally = _tally()
    settled = [Verdict(timestamp_ms=0, status=Status.NEW_NORMAL, score=1.4)]
    tally.add(_verdicts(0.5), settled, (), (), 200)
    assert tally.value().agreed == 1


def test_what_nobody_scored_leaves_the_counts_as_they_were() -> None:
    tally = _tally()
    before = tally.value()
    assert tally.add(_verdicts(None), _verdicts(0.5), (), (), 200) == 0
    assert tally.value() == before


def test_two_counters_of_a_pair_are_told_apart() -> None:
    assert _tally().value().counter_id != _tally().value().counter_id


def test_counts_survive_the_topic() -> None:
    tally = _tally()
    tally.add(_verdicts(0.5, 2.0), _verdicts(0.5, 99.0), (), {1}, 200)
    assert decode(encode(tally.value())) == tally.value()
