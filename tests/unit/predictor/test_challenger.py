"""The challenger: scores what was judged, after it was, and keeps nothing waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faultline import comparisons, topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.alarms import AlarmPolicy
from faultline.comparisons import Comparison
from faultline.detector import Detector
from faultline.detector.adaptation import AdaptationRule
from faultline.judge import Model
from faultline.ports.broker import Message, Partition
from faultline.readings import Reading, encode_batch, make_reading
from faultline.verdicts import Status
from services.predictor.challenger import Challenger
from services.predictor.contest import Contest
from services.predictor.fleet import Cycle, Fleet
from services.predictor.metrics import Metrics

P0, P1 = Partition(topics.READINGS.name, 0), Partition(topics.READINGS.name, 1)
POLICY = AlarmPolicy(open_bad=2, open_window=3, close_good=3)
_DEADLINE_S = 20.0


class Setup:
    """A fleet, what is to be compared, and the challenger that does."""

    def __init__(self, champion: Detector, challenger: Detector, clock: Any) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.clock = clock
        self.metrics = Metrics()
        self.challenger = Challenger(
            self.broker,
            POLICY,
            metrics=self.metrics,
            clock=clock,
            queue_readings=1_000,
            tell_s=5.0,
        )
        self.champion_model = Model("faultline-pump", "1", champion)
        self.challenger_model = Model("faultline-pump", "2", challenger)
        self.contest = Contest(self.champion_model, self.challenger_model)
        self.fleet = Fleet(lambda _: self.contest, POLICY, challenger=self.challenger)
        self.fleet.own(P0, {})
        self.fleet.own(P1, {})
        self._offset = 0

    def judge(self, readings: Sequence[Reading], partition: Partition = P0) -> Cycle:
        self._offset += 1
        message = Message(partition, self._offset, b"a", encode_batch(readings))
        cycle = self.fleet.judge([message])
        self.fleet.apply(cycle)
        self.challenger.offer(cycle.to_compare)
        return cycle

    def statuses(self, readings: Sequence[Reading]) -> list[Status]:
        [batch] = self.judge(readings).verdicts
        return [verdict.status for verdict in batch.verdicts]

    def compare(self) -> None:
        while self.challenger.step():
            pass

    @property
    def counts(self) -> Comparison:
        self.compare()
        [counts] = self.challenger.counts()
        return counts

    def readings_of(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value(
            "faultline_predictor_challenger_readings_total", {"outcome": outcome}
        ) or 0.0  # fmt: skip

    def told(self) -> list[Comparison]:
        sent = self.broker.sent(topics.MODEL_COMPARISONS.name)
        return [comparisons.decode(message.value) for message in sent]


def _readings(first: int, flows: Sequence[float], machine: str = "a") -> list[Reading]:
    return [
        make_reading(machine, (first + row) * 1_000, {"flow": flow, "heat": 0.0}, "pump")
        for row, flow in enumerate(flows)
    ]


@pytest.fixture
def setup(make_detector: Callable[..., Detector], clock: Any) -> Setup:
    """A challenger with a narrower boundary: it fails what the champion lets pass."""
    return Setup(make_detector(boundary=4.0), make_detector(boundary=1.0), clock)


def test_both_versions_are_counted_on_the_same_readings(setup: Setup) -> None:
    setup.judge(_readings(0, [0.1] * 6 + [-2.0] * 6))
    counts = setup.counts
    assert (counts.champion_version, counts.challenger_version) == ("1", "2")
    assert (counts.readings, counts.agreed) == (10, 5)
    assert (counts.champion.failures, counts.challenger.failures) == (0, 5)
    assert (counts.champion.alarms, counts.challenger.alarms) == (0, 1)
    assert sum(counts.challenger.scores) == 10


def test_it_scores_in_the_shadow_what_it_would_score_alone(setup: Setup) -> None:
    flows = np.random.default_rng(0).normal(size=60).tolist()
    for start in range(0, 60, 7):
        setup.judge(_readings(start, flows[start : start + 7]))
    alone = Setup(setup.challenger_model.detector, setup.champion_model.detector, setup.clock)
    for start in range(0, 60, 7):
        alone.judge(_readings(start, flows[start : start + 7]))
    assert setup.counts.challenger == alone.counts.champion
    assert setup.counts.champion == alone.counts.challenger


def test_what_is_published_is_the_champions_alone(setup: Setup) -> None:
    cycle = setup.judge(_readings(0, [-2.0] * 12))
    setup.compare()
    assert {batch.model_version for batch in cycle.verdicts} == {"1"}
    assert cycle.alarm_events == []


def test_where_the_challenger_answers_the_champion_is_in_the_shadow(setup: Setup) -> None:
    setup.contest = setup.contest._replace(share=1.0)
    cycle = setup.judge(_readings(0, [-2.0] * 12))
    assert {batch.model_version for batch in cycle.verdicts} == {"2"}
    counts = setup.counts
    assert (counts.champion.failures, counts.challenger.failures) == (0, 10)


def test_each_version_judges_its_machines_through_http_too(setup: Setup) -> None:
    setup.contest = setup.contest._replace(share=0.5)
    names = [f"m-{number}" for number in range(40)]
    judged = setup.fleet.predict([_readings(0, [0.1], name)[0] for name in names])
    versions = [one.model.version if one.model else None for one in judged]
    expected = [
        model.version if (model := setup.contest.answering(name)) else None for name in names
    ]
    assert versions == expected
    assert set(versions) == {"1", "2"}


def test_what_it_cannot_keep_up_with_is_dropped_and_counted(setup: Setup) -> None:
    for start in range(0, 3_000, 300):
        setup.judge(_readings(start, [0.1] * 300))
    setup.compare()
    assert setup.readings_of("dropped") == 2_100
    assert setup.readings_of("compared") + setup.readings_of("unscored") == 900


def test_after_a_gap_that_was_dropped_it_goes_on_from_the_streams_window(setup: Setup) -> None:
    setup.judge(_readings(0, [0.1] * 10))
    setup.compare()
    before = setup.readings_of("compared")
    for start in range(10, 1_210, 300):
        setup.judge(_readings(start, [0.1] * 300))
    setup.compare()
    setup.judge(_readings(1_210, [0.1] * 5))
    setup.compare()
    assert setup.readings_of("dropped") == 300
    assert setup.readings_of("compared") == before + 905


def test_wide_readings_take_more_of_the_queue(setup: Setup) -> None:
    wide: dict[str, float | None] = {f"sensor_{number}": 0.1 for number in range(640)}
    readings = [make_reading("a", row * 1_000, wide, "pump") for row in range(101)]
    setup.judge(readings[:100])
    setup.judge(readings[100:])
    assert setup.readings_of("dropped") == 1


def test_a_version_that_cannot_score_a_machine_ends_nothing(setup: Setup) -> None:
    class Choking:
        rows_needed = 1

        def __getattr__(self, name: str) -> Any:
            raise ValueError(f"no {name} of this machine")

    broken: Any = Choking()
    setup.contest = Contest(setup.champion_model, Model("faultline-pump", "2", broken))
    setup.judge(_readings(0, [0.1] * 5))
    setup.compare()
    assert setup.readings_of("failed") == 5
    setup.contest = Contest(setup.champion_model, setup.challenger_model)
    setup.judge(_readings(5, [0.1] * 5))
    assert setup.counts.readings == 5


def test_no_batch_waits_for_it(setup: Setup) -> None:
    """While it scores, the stream judges and publishes: it never holds what the stream needs."""
    began, go_on = threading.Event(), threading.Event()

    class Slow(Model):
        @property
        def detector(self) -> Any:
            began.set()
            assert go_on.wait(_DEADLINE_S)
            return setup.champion_model.detector

    slow = object.__new__(Slow)
    object.__setattr__(slow, "name", "faultline-pump")
    object.__setattr__(slow, "version", "2")
    setup.contest = Contest(setup.champion_model, slow)
    setup.judge(_readings(0, [0.1] * 5))
    thread = threading.Thread(target=setup.challenger.step)
    thread.start()
    assert began.wait(_DEADLINE_S)
    with setup.challenger.aside():
        cycle = setup.judge(_readings(5, [0.1] * 5))
    assert len(cycle.verdicts[0].verdicts) == 5
    assert setup.challenger.counts() == []
    go_on.set()
    thread.join(_DEADLINE_S)
    assert setup.counts.readings > 0


def test_while_a_batch_is_judged_it_begins_nothing(setup: Setup) -> None:
    setup.judge(_readings(0, [0.1] * 5))
    with setup.challenger.aside():
        thread = threading.Thread(target=setup.challenger.step)
        thread.start()
        thread.join(0.05)
        assert setup.challenger.counts() == []
    thread.join(_DEADLINE_S)
    assert setup.challenger.counts() != []


def test_counts_are_told_as_they_grow_and_once_more_at_the_end(setup: Setup) -> None:
    setup.judge(_readings(0, [0.1] * 12))
    setup.compare()
    stop = threading.Event()
    stop.set()
    setup.challenger.run(stop)
    assert [one.readings for one in setup.told()] == [10]
    setup.challenger.run(stop)
    assert len(setup.told()) == 1


def test_while_the_broker_is_down_counting_goes_on(setup: Setup) -> None:
    stop = threading.Event()
    stop.set()
    setup.broker.stop()
    setup.judge(_readings(0, [0.1] * 12))
    setup.compare()
    setup.challenger.run(stop)
    setup.broker.start()
    setup.judge(_readings(12, [0.1] * 5))
    setup.compare()
    setup.challenger.run(stop)
    assert [one.readings for one in setup.told()] == [15]


def test_a_new_pair_has_counts_of_its_own_and_the_former_ones_are_let_go_once_told(
    setup: Setup,
) -> None:
    stop = threading.Event()
    stop.set()
    setup.judge(_readings(0, [0.1] * 12))
    setup.compare()
    third = Model("faultline-pump", "3", setup.challenger_model.detector)
    setup.contest = Contest(setup.champion_model, third)
    setup.judge(_readings(12, [0.1] * 5))
    setup.compare()
    setup.challenger.run(stop)
    assert {one.challenger_version: one.readings for one in setup.told()} == {"2": 10, "3": 5}
    assert [one.challenger_version for one in setup.challenger.counts()] == ["3"]


def test_the_machines_of_a_partition_that_went_elsewhere_are_forgotten(setup: Setup) -> None:
    setup.judge(_readings(0, [0.1] * 5, "a"), P0)
    setup.judge(_readings(0, [0.1] * 5, "b"), P1)
    setup.fleet.disown([P0])
    setup.compare()
    assert setup.readings_of("compared") == 3
    setup.fleet.disown()
    setup.judge(_readings(5, [0.1] * 5, "b"), P1)
    setup.compare()
    assert setup.readings_of("compared") == 6


def test_prometheus_gets_both_sides(setup: Setup) -> None:
    from services.predictor.comparison_metrics import ComparisonCollector  # noqa: PLC0415

    setup.metrics.registry.register(ComparisonCollector(setup.challenger.counts))
    setup.judge(_readings(0, [0.1] * 6 + [-2.0] * 6))
    setup.compare()
    pair = {"model": "faultline-pump", "champion": "1", "challenger": "2"}
    value = setup.metrics.registry.get_sample_value
    assert value("faultline_predictor_compared_readings_total", {**pair, "agreed": "yes"}) == 5
    labels = {**pair, "role": "challenger"}
    assert value("faultline_predictor_compared_failures_total", labels) == 5
    assert value("faultline_predictor_compared_alarms_total", labels) == 1
    within = value("faultline_predictor_compared_scores_bucket", {**labels, "le": "1.0"})
    assert within == 5


# Promotion ---------------------------------------------------------------------------------------


def test_a_promoted_challenger_scores_at_once_on_the_same_window(setup: Setup) -> None:
    setup.judge(_readings(0, [0.1] * 12))
    setup.compare()
    setup.contest = Contest(setup.challenger_model)
    assert setup.statuses(_readings(12, [0.1] * 3)) == [Status.NORMAL] * 3


def test_a_window_longer_than_the_champions_carries_over(
    make_detector: Callable[..., Detector], clock: Any
) -> None:
    setup = Setup(make_detector(), make_detector(window_rows=200), clock)
    for start in range(0, 300, 20):
        setup.judge(_readings(start, [0.1] * 20))
        setup.compare()
    assert setup.counts.readings > 0
    setup.contest = Contest(setup.challenger_model)
    assert setup.statuses(_readings(300, [0.1] * 3)) == [Status.NORMAL] * 3


def _settling(detector: Detector) -> Detector:
    return replace(detector, rule=AdaptationRule(step_rows=2, follow_rows=8, settle_ms=20_000))


@pytest.fixture
def settled(make_detector: Callable[..., Detector], clock: Any) -> Setup:
    """A machine in a new state, which has become normal for the challenger and the champion."""
    setup = Setup(_settling(make_detector()), _settling(make_detector(boundary=1.0)), clock)
    for start in range(0, 100, 10):
        setup.judge(_readings(start, [-9.0 if start >= 20 else 0.1] * 10))
        setup.compare()
    assert setup.statuses(_readings(100, [-9.0])) == [Status.NEW_NORMAL]
    setup.compare()
    return setup


def test_a_lasting_state_that_the_challenger_knows_as_normal_stays_so(settled: Setup) -> None:
    settled.contest = Contest(settled.challenger_model)
    assert settled.statuses(_readings(101, [-9.0] * 3)) == [Status.NEW_NORMAL] * 3
    assert settled.statuses(_readings(104, [-9.0] * 3)) == [Status.NEW_NORMAL] * 3


def test_the_same_through_http(settled: Setup) -> None:
    settled.contest = Contest(settled.challenger_model)
    [judged] = settled.fleet.predict(_readings(101, [-9.0]))
    assert judged.verdict.status is Status.NEW_NORMAL


def test_a_version_that_was_not_in_the_shadow_begins_with_nothing_learnt(settled: Setup) -> None:
    settled.contest = Contest(replace(settled.challenger_model, version="3"))
    assert settled.statuses(_readings(101, [-9.0] * 3)) == [Status.FAILURE] * 3


def test_what_was_followed_within_the_boundary_begins_anew(
    make_detector: Callable[..., Detector], clock: Any
) -> None:
    """So that a verdict after a promotion can be given again from what is stored."""
    setup = Setup(_settling(make_detector()), _settling(make_detector(boundary=3.0)), clock)
    for start in range(0, 100, 10):
        setup.judge(_readings(start, [1.0] * 10))
        setup.compare()
    setup.contest = Contest(setup.challenger_model)
    live = setup.fleet.state_of("a")
    assert live is not None
    assert setup.challenger.carried_over("a", live, setup.challenger_model) is live


# Partitions that go elsewhere and versions made anew ----------------------------------------------


class _Scoring(Model):
    """A version that, while it scores, waits for what else happens."""

    meanwhile: Callable[[], None]

    @property
    def detector(self) -> Any:
        self.meanwhile()
        return self._detector

    _detector: Detector


def _scoring(model: Model, meanwhile: Callable[[], None]) -> Model:
    made = object.__new__(_Scoring)
    for name, value in (
        ("name", model.name),
        ("version", model.version),
        ("bundle_sha256", model.bundle_sha256),
        ("_detector", model.detector),
        ("meanwhile", meanwhile),
    ):
        object.__setattr__(made, name, value)
    return made


def test_what_goes_elsewhere_while_it_is_scored_is_forgotten_too(setup: Setup) -> None:
    rival = setup.challenger_model
    setup.contest = Contest(
        setup.champion_model, _scoring(rival, lambda: setup.challenger.forget([P0]))
    )
    setup.judge(_readings(0, [-9.0] * 12))
    setup.compare()
    assert setup.challenger.counts() == []
    assert setup.readings_of("dropped") == 12
    live = setup.fleet.state_of("a")
    assert live is not None
    assert setup.challenger._own == {}


def test_what_goes_elsewhere_of_another_partition_disturbs_nothing(setup: Setup) -> None:
    rival = setup.challenger_model
    setup.contest = Contest(
        setup.champion_model, _scoring(rival, lambda: setup.challenger.forget([P1]))
    )
    setup.judge(_readings(0, [0.1] * 12))
    assert setup.counts.readings == 10


def test_a_version_made_again_with_the_same_number_is_counted_apart(setup: Setup) -> None:
    setup.judge(_readings(0, [0.1] * 12))
    setup.compare()
    setup.contest = Contest(
        setup.champion_model, replace(setup.challenger_model, bundle_sha256="anew")
    )
    setup.judge(_readings(12, [0.1] * 5))
    setup.compare()
    assert [one.readings for one in setup.challenger.counts()] == [10, 5]


def test_prometheus_is_told_once_of_numbers_that_mean_another_version_now(setup: Setup) -> None:
    from services.predictor.comparison_metrics import ComparisonCollector  # noqa: PLC0415

    test_a_version_made_again_with_the_same_number_is_counted_apart(setup)
    [readings, *_] = ComparisonCollector(setup.challenger.counts).collect()
    assert [sample.value for sample in readings.samples] == [5, 0]


def test_a_version_made_again_does_not_inherit_what_the_former_had_learnt(settled: Setup) -> None:
    settled.contest = Contest(replace(settled.challenger_model, bundle_sha256="anew"))
    assert settled.statuses(_readings(101, [-9.0] * 3)) == [Status.FAILURE] * 3
