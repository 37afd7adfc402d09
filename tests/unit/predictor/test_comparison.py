"""From Staging to the comparison that the API answers: followed, scored, told, recorded, read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from faultline import comparisons, topics
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.detector import Detector
from faultline.events import ModelEventKind, decode
from faultline.ports.registry import ModelVersion, Stage
from faultline.ports.stores import RecordBatch
from faultline.readings import Reading, make_reading

World = Any
Register = Callable[..., ModelVersion]
MakeDetector = Callable[..., Detector]
NAME = "faultline-pump"


def _readings(flows: Sequence[float]) -> list[Reading]:
    return [
        make_reading("pump-1", row * 1_000, {"flow": flow, "heat": 0.0}, "pump")
        for row, flow in enumerate(flows)
    ]


def _look(world: World) -> None:
    world.predictor.loader.refresh()
    world.predictor.shadow.loader.refresh()


def _compare(world: World) -> None:
    """Do what the loops do: score, tell, and record what was told."""
    challenger = world.predictor.shadow.challenger
    while challenger.step():
        pass
    stop = threading.Event()
    stop.set()
    challenger.run(stop)
    told = [
        comparisons.decode(message.value)
        for message in world.broker.sent(topics.MODEL_COMPARISONS.name)
    ]
    world.database.record_store().record(
        "recorder", RecordBatch({}, comparisons=told), lambda _: None
    )


@pytest.fixture
def two(world: World, register: Register, make_detector: MakeDetector) -> World:
    """A champion, and a challenger with a narrower boundary."""
    register(make_detector(boundary=4.0))
    register(make_detector(boundary=1.0), promote=False)
    _look(world)
    return world


def _answer(world: World) -> Any:
    answer = world.http.get("/api/v1/model/comparison", params={"machine_type": "pump"})
    assert answer.status_code == 200
    [one] = answer.json()["comparisons"]
    return one


def test_the_version_in_staging_is_compared_with_the_one_in_production(two: World) -> None:
    with two.streaming(_readings([0.1] * 6 + [-2.0] * 6)):
        _compare(two)
    answer = _answer(two)
    assert (answer["champion_version"], answer["challenger_version"]) == ("1", "2")
    current = answer["current"]
    assert (current["readings"], current["agreement"]) == (10, 0.5)
    assert (current["champion"]["failure_rate"], current["challenger"]["failure_rate"]) == (0, 0.5)
    assert sum(current["challenger"]["scores"]) == 10
    assert current["since"] <= current["until"]


def test_any_replica_answers_from_the_store(two: World) -> None:
    """Nothing was compared here: the counts are another's."""
    assert _answer(two)["current"] is None
    with two.streaming(_readings([0.1] * 12)):
        _compare(two)
    assert two.predictor.shadow.challenger.counts()
    two.predictor.shadow.challenger._tallies = {}
    assert _answer(two)["current"]["readings"] == 10


def test_a_promotion_ends_the_comparison_and_keeps_what_it_came_to(
    two: World, registry: MemoryRegistry
) -> None:
    with two.streaming(_readings([0.1] * 12)):
        _compare(two)
    registry.promote(NAME, "2")
    _look(two)
    answer = _answer(two)
    assert (answer["champion_version"], answer["challenger_version"]) == ("2", None)
    assert answer["current"] is None
    assert [one["readings"] for one in answer["former"]] == [10]


def test_a_challenger_that_is_archived_is_compared_no_more(
    two: World, registry: MemoryRegistry
) -> None:
    registry.set_stage(NAME, "2", Stage.ARCHIVED)
    _look(two)
    two.stream(_readings([0.1] * 12))
    assert two.predictor.shadow.challenger.counts() == []
    assert _answer(two)["challenger_version"] is None


def test_a_broken_challenger_is_refused_and_the_champion_goes_on(
    world: World, register: Register, make_detector: MakeDetector
) -> None:
    def damage(bundle: Path) -> None:
        (bundle / "arrays.npz").write_bytes(b"no archive")

    register()
    register(make_detector(boundary=1.0), promote=False, damage=damage)
    _look(world)
    world.stream(_readings([0.1] * 5))
    answer = _answer(world)
    assert (answer["champion_version"], answer["challenger_version"]) == ("1", None)
    assert "arrays.npz" in answer["challenger_refused"]
    [event] = [decode(m.value) for m in world.broker.sent(topics.MODEL_EVENTS.name)]
    assert (event.kind, event.model_version) == (ModelEventKind.LOAD_REFUSED, "2")


def test_what_the_gate_says_of_a_challenger_is_followed_after_it_was_loaded(
    two: World, registry: MemoryRegistry
) -> None:
    registry.set_tags(NAME, "2", {"gate": "refused"})
    _look(two)
    assert _answer(two)["challenger_gate"] == "refused"


def test_both_loaded_versions_are_shown_to_prometheus(two: World) -> None:
    value = two.predictor.metrics.registry.get_sample_value
    labels = {"model": NAME, "source": "registry"}
    assert value("faultline_predictor_model_info", {**labels, "version": "1"}) == 1
    assert value("faultline_predictor_challenger_info", {**labels, "version": "2"}) == 1
    reloads = value("faultline_predictor_model_reloads_total", {"model": NAME})
    assert reloads == 1


def test_a_type_of_which_nothing_is_known_is_not_found(world: World) -> None:
    answer = world.http.get("/api/v1/model/comparison", params={"machine_type": "pump"})
    assert answer.status_code == 404


def test_without_a_type_all_are_listed(
    two: World, register: Register, make_detector: MakeDetector
) -> None:
    register(make_detector(boundary=2.0), machine_type="fan")
    _look(two)
    answer = two.http.get("/api/v1/model/comparison").json()
    assert [one["machine_type"] for one in answer["comparisons"]] == ["fan", "pump"]
    assert 1.0 in answer["score_edges"]
