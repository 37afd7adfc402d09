"""Several replicas judge drift by the counts of all, and one of them tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from services.predictor.drift import DriftWatch

if TYPE_CHECKING:
    from tests.unit.predictor.drift.conftest import Setup


def test_any_replica_answers_for_the_machines_of_all(setup: Setup) -> None:
    other = setup.replica()
    setup.see(900, shift=1.0)
    setup.all_look(setup.watch, other)
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
    setup.all_look(other, setup.watch)
    look = other.looks()["pump"]
    assert (look.readings, look.machines) == (1_200, 2)
    [flow] = [one for one in look.findings if one.name == "flow"]
    assert 0.05 < flow.statistic < 0.3
    assert setup.told() == []


def test_one_of_the_replicas_tells(setup: Setup) -> None:
    other = setup.replica()
    setup.see(100)
    setup.see(100, machine="b", watch=other)
    setup.all_look(setup.watch, other)
    setup.see(900, shift=1.2)
    setup.see(900, shift=1.2, machine="b", watch=other)
    setup.all_look(setup.watch, other)
    assert len(setup.told()) == 1
    assert setup.told()[0].machines == 2


def test_when_the_one_that_tells_is_gone_another_does(setup: Setup) -> None:
    both = sorted((setup.watch, setup.replica()), key=lambda watch: watch._replica)
    setup.see(100, watch=both[0])
    setup.see(100, machine="b", watch=both[1])
    setup.all_look(*both)
    setup.clock.seconds += 3 * setup.policy.poll_s
    setup.see(900, shift=1.2, machine="b", watch=both[1])
    setup.all_look(both[1])
    assert len(setup.told()) == 1


def drift_before(setup: Setup) -> list[DriftWatch]:
    """Two replicas, the teller first, that have counted drift which none has looked at."""
    both = sorted((setup.watch, setup.replica()), key=lambda watch: watch._replica)
    for machine, watch in zip("ab", both, strict=True):
        setup.see(100, machine=machine, watch=watch)
    setup.all_look(*both)
    for machine, watch in zip("ab", both, strict=True):
        setup.see(900, shift=1.2, machine=machine, watch=watch)
    return both


def test_when_the_one_that_tells_ends_before_it_looks_another_does(setup: Setup) -> None:
    _, survivor = drift_before(setup)
    setup.all_look(survivor)
    assert [one.name for one in survivor.looks()["pump"].drifting] == ["flow"]
    assert setup.told() == []
    for _ in range(20):
        setup.all_look(survivor)
    assert len(setup.told()) == 1


def test_what_another_told_before_it_ended_is_not_told_again(setup: Setup) -> None:
    teller, survivor = drift_before(setup)
    setup.all_look(teller, survivor)
    setup.store.record(setup.told())
    setup.clock.seconds += 2 * setup.policy.cooldown_s
    setup.see(900, shift=1.2, machine="b", watch=survivor)
    setup.all_look(survivor)
    assert [one.name for one in survivor.looks()["pump"].drifting] == ["flow"]
    assert len(setup.told()) == 1


def test_two_that_tell_of_the_same_beginning_tell_one_event(setup: Setup) -> None:
    """As while the recorder is down: what the first told is not in the store."""
    teller, survivor = drift_before(setup)
    setup.all_look(teller, survivor)
    for _ in range(5):
        setup.all_look(survivor)
    first, second = setup.told()
    assert first.event_id == second.event_id


def test_the_cooldown_begins_with_what_another_told(setup: Setup) -> None:
    teller, survivor = drift_before(setup)
    setup.all_look(teller)
    [event] = setup.told()
    setup.store.record([structs.replace(event, findings=(), event_id="other")])
    setup.clock.seconds += setup.policy.window_s / 4
    for _ in range(5):
        setup.all_look(survivor)
    assert len(setup.told()) == 1


def test_an_event_by_a_clock_that_is_ahead_puts_nothing_off(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    [event] = setup.told()
    setup.store.record([structs.replace(event, at_ms=event.at_ms + 10**10)])
    setup.clock.seconds += 3 * setup.policy.poll_s
    setup.all_look(setup.replica())
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
    setup.all_look(refuses, follows)
    assert [event.model_version for event in setup.told()] == ["2"]


def test_after_a_restart_what_was_counted_before_goes_on_to_count(setup: Setup) -> None:
    setup.see(900, shift=1.0)
    setup.look()
    anew = setup.replica()
    setup.clock.seconds += 200
    anew.look()
    assert anew.looks()["pump"].readings == 900
    assert [one.name for one in anew.looks()["pump"].drifting] == ["flow"]
    setup.clock.seconds += setup.policy.window_s / 2
    anew.look()
    assert anew.looks()["pump"].readings == 0


def test_what_was_counted_of_another_version_does_not_count(setup: Setup) -> None:
    other = setup.replica()
    setup.see(900, shift=1.0)
    setup.look()
    setup.models["pump"] = replace(setup.version("1"), bundle_sha256="anew")
    other.look()
    assert other.looks()["pump"].readings == 0
