"""The watch for drift keeps nothing waiting, and goes on past what is strange or down."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from faultline.errors import Unavailable
from faultline.readings import make_reading
from faultline.verdicts import Status, Verdict
from services.predictor import drift_watched as watching
from services.predictor.drift_watched import Seen

if TYPE_CHECKING:
    from tests.unit.predictor.drift.conftest import Setup

_DEADLINE_S = 20.0


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
