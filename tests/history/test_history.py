"""Everything acknowledged is stored once, in order and rightly judged, whatever fails meanwhile.

FAULTLINE_HISTORY_SEED repeats what is sent and which faults come in which order; what meets what
is up to the machine. FAULTLINE_HISTORY_MINUTES goes on with faults for so long (`make history`).
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.history.checker import check_readings
from tests.history.faults import Fault, possible
from tests.history.findings import Kind
from tests.history.judgements import check_verdicts
from tests.history.scene import POLICY, THREADS, Scene, running_scene

_MINUTES = float(os.environ.get("FAULTLINE_HISTORY_MINUTES", "0"))
# Ten minutes for what is around the faults, and for the last of them to end.
pytestmark = [pytest.mark.real, pytest.mark.timeout(60 * (_MINUTES + 25))]

_BETWEEN = range(50, 300)
"""Readings that are acknowledged between two faults."""


@pytest.fixture
def seed() -> int:
    given = os.environ.get("FAULTLINE_HISTORY_SEED")
    return random.SystemRandom().randrange(2**32) if given is None else int(given)


@pytest.fixture
def quiet_kafka() -> Iterator[None]:
    """What kafka-python says of a broker that is away fills no report."""
    log = logging.getLogger("kafka")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@pytest.fixture
def scene(seed: int, tmp_path: Path, quiet_kafka: None) -> Iterator[Scene]:
    with running_scene(seed, tmp_path) as scene:
        yield scene


def _drawn(scene: Scene, draw: random.Random) -> Iterator[tuple[str, Fault]]:
    """One of each group, and when minutes are given again and again."""
    groups = list(possible(scene).values())
    deadline_s = time.monotonic() + 60 * _MINUTES
    while True:
        for faults in draw.sample(groups, len(groups)):
            yield draw.choice(list(faults.items()))
        if time.monotonic() >= deadline_s:
            return


def test_what_is_acknowledged_is_stored_once_and_rightly_judged(
    scene: Scene, seed: int, tell: Callable[[str], None]
) -> None:
    draw = random.Random(seed)
    done: list[str] = []
    history = scene.history
    try:
        with scene.clients.running(THREADS):
            for name, fault in _drawn(scene, draw):
                scene.go_on(draw.choice(_BETWEEN))
                done.append(name)
                print(f"{history.acknowledged} readings acknowledged; now: {name}", flush=True)
                fault(scene)
            scene.clients.raise_errors()
        observed = scene.settle()
    except BaseException:
        tell(f"seed {seed}, broke off at: {'; '.join(done)}")
        raise
    readings = check_readings(history.operations, observed)
    verdicts = check_verdicts(observed, scene.versions.models, POLICY)
    kinds = Counter(finding.kind for finding in (*readings, *verdicts))
    unknown = history.unknown.total()
    tell(
        f"seed {seed}: {history.acknowledged} readings acknowledged in "
        f"{len(history.operations)} attempts ({unknown} unknown), {len(observed.rows)} "
        f"stored, {len(observed.letters)} dead letters, {len(observed.stored_verdicts)} verdicts "
        f"of {len(scene.versions.models)} versions, {len(observed.stored_alarms)} alarms; "
        f"{len(done)} faults ({'; '.join(done)}); "
        + ", ".join(f"{kind} {kinds[kind]}" for kind in Kind)
    )
    assert [*readings, *verdicts][:20] == []
