"""The watch for drift: what counts, when it tells, and that it keeps nothing waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from faultline import drift, topics
from faultline.adapters.memory.broker import MemoryBroker
from faultline.adapters.memory.database import MemoryDatabase
from faultline.alarms import AlarmPolicy
from faultline.detector import Detector, MachineHistory, Window
from faultline.detector.reference import make_reference
from faultline.drift import DriftEvent, DriftKind, DriftPart
from faultline.errors import Unavailable
from faultline.judge import Model
from faultline.ports.broker import Message, Partition
from faultline.ports.stores import RecordBatch
from faultline.readings import encode_batch, make_reading
from faultline.verdicts import Status, Verdict
from services.predictor import drift_watched as watching
from services.predictor.contest import Contest
from services.predictor.drift import DriftWatch
from services.predictor.drift_onset import DriftLimits, DriftPolicy
from services.predictor.drift_watched import Seen
from services.predictor.fleet import Fleet
from services.predictor.metrics import Metrics

POLICY = DriftPolicy(
    window_s=1_000.0,
    rows=2_000,
    poll_s=60.0,
    cooldown_s=3_600.0,
    limits=DriftLimits(distance=0.3, level=0.25),
)
_DEADLINE_S = 20.0


class Setup:
    """A watch, a version with a reference, and readings that go on from where they were."""

    def __init__(self, detector: Detector, clock: Any, policy: DriftPolicy = POLICY) -> None:
        self.broker = MemoryBroker()
        self.broker.create_topics(topics.ALL)
        self.clock = clock
        self.metrics = Metrics()
        self.store = Store()
        self.models: dict[str, Model] = {}
        self.policy = policy
        self.watch = self.replica()
        self.detector = detector
        self.model = self.version("1")
        self._rng = np.random.default_rng(5)
        self._at_ms: dict[str, int] = {}

    def replica(self, models: Mapping[str, Model] | None = None) -> DriftWatch:
        """Another process, on the same broker and store; with other versions, when told so."""
        return DriftWatch(
            self.broker,
            self.policy,
            store=self.store,
            models=lambda: self.models if models is None else models,
            metrics=self.metrics,
            clock=self.clock,
        )

    def version(self, number: str) -> Model:
        values = np.random.default_rng(0).normal(size=(4_000, 2)) * 0.5
        times = np.arange(4_000, dtype=np.int64) * 1_000
        history = MachineHistory("a", times, values)
        reference = make_reference(self.detector, self.detector.sensors, [history])
        return Model("faultline-pump", number, self.detector, reference)

    def see(
        self,
        rows: int,
        *,
        shift: float = 0.0,
        machine: str = "a",
        status: Status = Status.NORMAL,
        machine_type: str = "pump",
        model: Model | None = None,
        watch: DriftWatch | None = None,
    ) -> None:
        values = self._rng.normal(size=(rows, 2)) * 0.5
        scores = self._scores(values)
        values[:, 0] += shift
        begin = self._at_ms.get(machine, 0)
        self._at_ms[machine] = begin + rows * 1_000
        times = [begin + row * 1_000 for row in range(rows)]
        scored = status not in {Status.LATE, Status.DUPLICATE}
        seen = Seen(
            machine,
            [
                make_reading(machine, at_ms, {"flow": flow, "heat": heat}, machine_type)
                for at_ms, (flow, heat) in zip(times, values.tolist(), strict=True)
            ],
            [
                Verdict(
                    timestamp_ms=at_ms,
                    status=status,
                    score=score if scored else None,
                    cluster=0 if scored else None,
                )
                for at_ms, score in zip(times, scores.tolist(), strict=True)
            ],
            model or self.model,
        )
        self.models[machine_type] = seen.model
        (watch or self.watch).offer([seen])

    def _scores(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of unshifted rows: what drifts is what the test says, and not the scores as well."""
        empty = Window.empty(self.detector.sensors)
        times = np.arange(len(values), dtype=np.int64) * 1_000
        scores, _ = self.detector.score(empty, times, values)
        return np.where(np.isnan(scores.score), np.nanmedian(scores.score), scores.score)

    def look(self, after_s: float = 60.0) -> None:
        self.clock.seconds += after_s
        self.watch.sample()
        self.watch.look()
        self.watch.tell()

    def told(self) -> list[DriftEvent]:
        sent = self.broker.sent(topics.DRIFT_EVENTS.name)
        assert {message.key for message in sent} <= {b"pump", b"valve"}
        return [drift.decode(message.value) for message in sent]

    def value(self, name: str, **labels: str) -> float | None:
        found: float | None = self.metrics.registry.get_sample_value(name, labels)
        return found


@pytest.fixture
def setup(make_detector: Callable[..., Detector], clock: Any) -> Setup:
    return Setup(make_detector(), clock)


def names(event: DriftEvent) -> list[str]:
    return [finding.name for finding in event.findings]


def test_nothing_is_told_of_what_is_as_it_was(setup: Setup) -> None:
    for _ in range(5):
        setup.see(600)
        setup.look()
    assert setup.told() == []
    look = setup.watch.looks()["pump"]
    assert {finding.name for finding in look.findings} >= {"flow", "heat", "mix", "level"}
    assert look.drifting == ()
    assert setup.value("faultline_predictor_drift", model="faultline-pump", kind="sensor") == 0.0


def test_a_sensor_that_has_shifted_is_told_with_what_and_by_how_much(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    [event] = setup.told()
    assert names(event) == ["flow"]
    [finding] = event.findings
    assert finding.kind is DriftKind.SENSOR
    assert finding.statistic > finding.threshold == 0.3
    assert finding.p_value is not None
    assert finding.p_value < 1e-6
    assert (event.machine_type, event.model_name, event.model_version) == (
        "pump",
        "faultline-pump",
        "1",
    )
    assert (event.start_ms, event.end_ms) == (0, 899_000)
    assert (event.readings, event.machines) == (900, 1)
    assert event.at_ms == setup.clock.now_ms()
    assert drift.described(event).startswith("drift from version 1: sensor flow")
    kind = {"model": "faultline-pump", "kind": "sensor"}
    assert setup.value("faultline_predictor_drift", **kind) == pytest.approx(
        finding.statistic / 0.3
    )
    told = setup.value("faultline_predictor_drift_events_total", model="faultline-pump")
    assert told == 1.0


def test_drift_that_goes_on_is_told_once(setup: Setup) -> None:
    for _ in range(10):
        setup.see(400, shift=1.0)
        setup.look(after_s=7_200)
    assert len(setup.told()) == 1


def test_drift_that_ended_and_begins_again_is_told_again_after_the_cooldown(setup: Setup) -> None:
    for shift in (1.0, 0.0, 1.0):
        setup.see(1_000, shift=shift)
        setup.look()
    assert len(setup.told()) == 1
    setup.see(100, shift=1.0)
    setup.look(after_s=3_600)
    assert len(setup.told()) == 2


@pytest.mark.parametrize(
    "status",
    [Status.FAILURE, Status.LATE, Status.DUPLICATE, Status.WARMING_UP, Status.INSUFFICIENT_DATA],
)
def test_what_is_no_normal_reading_does_not_count(setup: Setup, status: Status) -> None:
    setup.see(900, shift=5.0, status=status)
    setup.look()
    assert setup.told() == []
    assert setup.watch.looks()["pump"].readings == 0


def test_a_lasting_new_state_is_drift(setup: Setup) -> None:
    setup.see(900, shift=5.0, status=Status.NEW_NORMAL)
    setup.look()
    assert names(setup.told()[0]) == ["flow"]


def test_another_version_begins_with_nothing(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    setup.see(40, model=setup.version("2"))
    setup.look()
    look = setup.watch.looks()["pump"]
    assert (look.model.version, look.readings, look.drifting) == ("2", 40, ())


def test_a_version_without_a_reference_is_not_watched(setup: Setup) -> None:
    setup.see(900, shift=5.0, model=replace(setup.model, reference=None))
    setup.look()
    assert (setup.told(), setup.watch.looks()) == ([], {})


def test_a_machine_without_a_baseline_among_those_with_one_does_not_count(
    make_detector: Callable[..., Detector], clock: Any
) -> None:
    detector = replace(make_detector(), machines=("a",), baselines=np.array([[1.0, 0.0]]))
    setup = Setup(detector, clock)
    setup.see(900)
    setup.see(900, shift=9.0, machine="stranger")
    setup.look()
    look = setup.watch.looks()["pump"]
    assert (look.readings, look.machines) == (900, 1)


def test_a_machine_is_compared_after_its_own_baseline(
    make_detector: Callable[..., Detector], clock: Any
) -> None:
    baselines = np.array([[1.0, 0.0], [-1.0, 0.0]])
    detector = replace(make_detector(), machines=("a", "b"), baselines=baselines)
    setup = Setup(detector, clock)
    setup.see(900, shift=-2.0, machine="b")
    setup.look()
    drifting = {one.name for one in setup.watch.looks()["pump"].drifting}
    assert "flow" not in drifting
    setup.see(900, shift=-1.0, machine="b")
    setup.look()
    assert "flow" in {one.name for one in setup.watch.looks()["pump"].drifting}


@pytest.mark.parametrize(("share", "seen"), [(0.0, ["1"]), (1.0, [])])
def test_what_the_challenger_answers_is_not_compared_with_the_champions_training(
    setup: Setup, share: float, seen: list[str]
) -> None:
    contest = Contest(setup.model, setup.version("2"), share)
    fleet = Fleet(lambda _: contest, AlarmPolicy())
    partition = Partition(topics.READINGS.name, 0)
    fleet.own(partition, {})
    value = encode_batch([make_reading("a", 0, {"flow": 0.0, "heat": 0.0}, "pump")])
    cycle = fleet.judge([Message(partition, 0, b"a", value)])
    assert [one.model.version for one in cycle.seen] == seen


def test_machine_types_are_apart(setup: Setup) -> None:
    setup.see(900)
    setup.see(900, shift=1.0, machine="v", machine_type="valve")
    setup.look()
    assert [event.machine_type for event in setup.told()] == ["valve"]


def test_an_event_that_cannot_be_published_waits(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.broker.stop()
    with pytest.raises(Unavailable):
        setup.look()
    setup.broker.start()
    assert setup.told() == []
    setup.watch.tell()
    setup.watch.tell()
    assert len(setup.told()) == 1


def test_readings_beyond_what_may_wait_are_dropped_and_counted(setup: Setup) -> None:
    for _ in range(11):
        setup.see(5_000)
    dropped = setup.value("faultline_predictor_drift_dropped_readings_total")
    assert dropped == 5_000.0


def test_machine_types_share_the_room(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_CELLS", 6_000)
    for number in range(10):
        setup.see(900, machine=f"m{number}", machine_type=f"type-{number}")
    setup.look()
    looks = setup.watch.looks().values()
    assert len(looks) == 10
    assert sum(look.readings * 6 for look in looks) <= 6_000


def test_the_loop_looks_and_tells_until_it_is_told_to_stop(setup: Setup) -> None:
    stop = threading.Event()
    loop = threading.Thread(target=setup.watch.run, args=(stop,))
    loop.start()
    try:
        setup.see(900, shift=1.0)
        setup.clock.seconds += 61
        told = threading.Event()
        deadline = threading.Timer(_DEADLINE_S, told.set)
        deadline.start()
        while not setup.told() and not told.wait(0.02):
            setup.clock.seconds += 61
        deadline.cancel()
    finally:
        stop.set()
        loop.join(_DEADLINE_S)
    assert len(setup.told()) == 1
    assert not loop.is_alive()


# What is strange, and what is down -------------------------------------------------------------


def strange(setup: Setup) -> Seen:
    """A normal reading without a cluster: no version of ours says so."""
    reading = make_reading("s", 0, {"flow": 0.0, "heat": 0.0}, "pump")
    verdict = Verdict(timestamp_ms=0, status=Status.NORMAL, score=0.1, cluster=None)
    return Seen("s", [reading], [verdict], setup.model)


def failures(setup: Setup, step: str) -> float | None:
    return setup.value("faultline_predictor_drift_failures_total", step=step)


def test_a_strange_reading_is_passed_over_and_counted(setup: Setup) -> None:
    setup.models["pump"] = setup.model
    setup.watch.offer([strange(setup)])
    setup.see(900, shift=1.0)
    setup.look()
    assert failures(setup, "sample") == 1.0
    assert len(setup.told()) == 1


def test_a_strange_bundle_ends_no_other_types_watch(setup: Setup) -> None:
    assert setup.model.reference is not None
    broken = replace(setup.model.reference, scores=np.zeros(0))
    setup.see(900, machine="f", machine_type="fan", model=replace(setup.model, reference=broken))
    setup.see(900, shift=1.0)
    setup.look()
    assert failures(setup, "count") == 1.0
    assert len(setup.told()) == 1


class Store:
    """A store of what is counted that can be switched off."""

    def __init__(self) -> None:
        database = MemoryDatabase()
        self._log = database.drift_log()
        self._record_store = database.record_store()
        self.down = threading.Event()
        self.asked_in_vain = threading.Event()

    def _check(self) -> None:
        if self.down.is_set():
            self.asked_in_vain.set()
            raise Unavailable("the database is switched off")

    def record(self, events: Sequence[DriftEvent]) -> None:
        """Store what was told, as the recorder does."""
        batch = RecordBatch({}, drift_events=events)
        self._record_store.record("recorder", batch, lambda _: None)

    def list(self, machine_type: str | None = None, limit: int = 100) -> Sequence[DriftEvent]:
        return self._log.list(machine_type, limit)

    def keep(self, part: DriftPart, oldest_ms: int) -> None:
        self._check()
        self._log.keep(part, oldest_ms)

    def parts(self, since_ms: int) -> Sequence[DriftPart]:
        self._check()
        return self._log.parts(since_ms)


def test_while_the_store_is_down_the_loop_waits_and_then_goes_on(setup: Setup) -> None:
    setup.store.down.set()
    stop = threading.Event()
    setup.see(900, shift=1.0)
    setup.clock.seconds += 61
    loop = threading.Thread(target=setup.watch.run, args=(stop,))
    loop.start()
    try:
        assert setup.store.asked_in_vain.wait(_DEADLINE_S)
        setup.store.down.clear()
        setup.clock.seconds += 61
        until = threading.Event()
        deadline = threading.Timer(_DEADLINE_S, until.set)
        deadline.start()
        while not setup.told() and not until.wait(0.02):
            pass
        deadline.cancel()
    finally:
        stop.set()
        loop.join(_DEADLINE_S)
    assert len(setup.told()) == 1


# Several replicas ------------------------------------------------------------------------------


def all_look(setup: Setup, *replicas: DriftWatch) -> None:
    """Let each keep its counts, and judge."""
    setup.clock.seconds += 60.0
    for _ in range(2):
        for replica in replicas:
            replica.sample()
            replica.look()
            replica.tell()


def test_any_replica_answers_for_the_machines_of_all(setup: Setup) -> None:
    other = setup.replica()
    setup.see(900, shift=1.0)
    all_look(setup, setup.watch, other)
    mine, its = setup.watch.looks()["pump"], other.looks()["pump"]
    assert (its.readings, its.machines) == (mine.readings, mine.machines) == (900, 1)
    assert its.findings == mine.findings
    assert [one.name for one in its.drifting] == ["flow"]
    assert len(setup.told()) == 1


def test_drift_is_judged_over_the_machines_of_all(setup: Setup) -> None:
    """Of one replica's machines alone it would be drift; of all it is none, as with one replica."""
    other = setup.replica()
    setup.see(300, shift=1.0)
    setup.see(900, machine="b", watch=other)
    all_look(setup, other, setup.watch)
    look = other.looks()["pump"]
    assert (look.readings, look.machines) == (1_200, 2)
    [flow] = [one for one in look.findings if one.name == "flow"]
    assert 0.05 < flow.statistic < 0.3
    assert setup.told() == []


def test_one_of_the_replicas_tells(setup: Setup) -> None:
    other = setup.replica()
    setup.see(100)
    setup.see(100, machine="b", watch=other)
    all_look(setup, setup.watch, other)
    setup.see(900, shift=1.2)
    setup.see(900, shift=1.2, machine="b", watch=other)
    all_look(setup, setup.watch, other)
    assert len(setup.told()) == 1
    assert setup.told()[0].machines == 2


def test_when_the_one_that_tells_is_gone_another_does(setup: Setup) -> None:
    both = sorted((setup.watch, setup.replica()), key=lambda watch: watch._replica)
    setup.see(100, watch=both[0])
    setup.see(100, machine="b", watch=both[1])
    all_look(setup, *both)
    setup.clock.seconds += 3 * POLICY.poll_s
    setup.see(900, shift=1.2, machine="b", watch=both[1])
    all_look(setup, both[1])
    assert len(setup.told()) == 1


def drift_before(setup: Setup) -> list[DriftWatch]:
    """Two replicas, the teller first, that have counted drift which none has looked at."""
    both = sorted((setup.watch, setup.replica()), key=lambda watch: watch._replica)
    for machine, watch in zip("ab", both, strict=True):
        setup.see(100, machine=machine, watch=watch)
    all_look(setup, *both)
    for machine, watch in zip("ab", both, strict=True):
        setup.see(900, shift=1.2, machine=machine, watch=watch)
    return both


def test_when_the_one_that_tells_ends_before_it_looks_another_does(setup: Setup) -> None:
    _, survivor = drift_before(setup)
    all_look(setup, survivor)
    assert [one.name for one in survivor.looks()["pump"].drifting] == ["flow"]
    assert setup.told() == []
    for _ in range(20):
        all_look(setup, survivor)
    assert len(setup.told()) == 1


def test_what_another_told_before_it_ended_is_not_told_again(setup: Setup) -> None:
    teller, survivor = drift_before(setup)
    all_look(setup, teller, survivor)
    setup.store.record(setup.told())
    setup.clock.seconds += 2 * POLICY.cooldown_s
    setup.see(900, shift=1.2, machine="b", watch=survivor)
    all_look(setup, survivor)
    assert [one.name for one in survivor.looks()["pump"].drifting] == ["flow"]
    assert len(setup.told()) == 1


def test_two_that_tell_of_the_same_beginning_tell_one_event(setup: Setup) -> None:
    """As while the recorder is down: what the first told is not in the store."""
    teller, survivor = drift_before(setup)
    all_look(setup, teller, survivor)
    for _ in range(5):
        all_look(setup, survivor)
    first, second = setup.told()
    assert first.event_id == second.event_id


def test_the_cooldown_begins_with_what_another_told(setup: Setup) -> None:
    teller, survivor = drift_before(setup)
    all_look(setup, teller)
    [event] = setup.told()
    setup.store.record([structs.replace(event, findings=(), event_id="other")])
    setup.clock.seconds += POLICY.window_s / 4
    for _ in range(5):
        all_look(setup, survivor)
    assert len(setup.told()) == 1


def test_an_event_by_a_clock_that_is_ahead_puts_nothing_off(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    [event] = setup.told()
    setup.store.record([structs.replace(event, at_ms=event.at_ms + 10**10)])
    setup.clock.seconds += 3 * POLICY.poll_s
    all_look(setup, setup.replica())
    assert len(setup.told()) == 2


def test_one_that_goes_on_with_the_former_version_leaves_the_telling_to_the_others(
    setup: Setup,
) -> None:
    former = {"pump": replace(setup.version("1"), bundle_sha256="former")}
    refuses, follows = setup.replica(former), setup.replica()
    while follows._replica < refuses._replica:
        follows = setup.replica()
    new = replace(setup.version("2"), bundle_sha256="new")
    setup.see(900, machine="a", model=former["pump"], watch=refuses)
    setup.see(900, shift=1.2, machine="b", model=new, watch=follows)
    all_look(setup, refuses, follows)
    assert [event.model_version for event in setup.told()] == ["2"]


def test_after_a_restart_what_was_counted_before_goes_on_to_count(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    anew = setup.replica()
    setup.clock.seconds += 200
    anew.look()
    assert anew.looks()["pump"].readings == 900
    assert [one.name for one in anew.looks()["pump"].drifting] == ["flow"]
    setup.clock.seconds += POLICY.window_s / 2
    anew.look()
    assert anew.looks()["pump"].readings == 0


def test_what_was_counted_of_another_version_does_not_count(setup: Setup) -> None:
    other = setup.replica()
    setup.see(900, shift=1.0)
    setup.look()
    setup.models["pump"] = replace(setup.version("1"), bundle_sha256="anew")
    other.look()
    assert other.looks()["pump"].readings == 0
