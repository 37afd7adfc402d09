"""Stored verdicts against those computed anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
import numpy as np
import pytest

from faultline.alarms import AlarmPolicy
from faultline.demo.recompute import recompute
from faultline.detector.fit import FitConfig, fit
from faultline.detector.history import MachineHistory
from faultline.errors import NotFound
from faultline.judge import Model, judge
from faultline.ports.stores import MachineRows, StoredVerdict
from faultline.readings import Reading, make_reading
from faultline.verdicts import Status

SENSORS = ("flow", "pressure")
ROWS = 300


def values(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(loc=(40.0, 5.0), size=(ROWS, 2))


TIMES_MS = np.arange(ROWS, dtype=np.int64) * 1_000


@cache
def model(version: str) -> Model:
    history = MachineHistory("pump-00", TIMES_MS, values(int(version)))
    detector = fit(SENSORS, [history], FitConfig(window_rows=5)).detector
    return Model("faultline-pump", version, detector)


MACHINE = MachineRows("pump-01", SENSORS, TIMES_MS, values(9))


def judged(cuts: Sequence[tuple[int, str | None]]) -> list[StoredVerdict]:
    """Verdicts as the stream gives them: up to each cut, by that version."""
    readings: list[Reading] = [
        make_reading("pump-01", int(at), dict(zip(SENSORS, map(float, row), strict=True)), "pump")
        for at, row in zip(TIMES_MS, MACHINE.values, strict=True)
    ]
    state, begin, stored = None, 0, []
    for end, version in cuts:
        judgement = judge(
            model(version) if version else None, state, readings[begin:end], AlarmPolicy()
        )
        state, begin = judgement.state, end
        stored += [
            StoredVerdict("pump-01", "pump", judgement.batch.model_name, version, verdict)
            for verdict in judgement.batch.verdicts
        ]
    return stored


MODELS = {version: model(version) for version in ("1", "2")}


def test_verdicts_over_two_versions_are_equal_to_those_computed_anew() -> None:
    report = recompute(MACHINE, judged([(100, None), (200, "1"), (ROWS, "2")]), MODELS)
    assert report.differing == 0
    assert report.largest_relative_difference <= 1e-9
    assert report.versions == ("1", "2")
    assert report.scores == 200


def test_a_score_of_another_version_than_the_one_named_is_found() -> None:
    verdicts = judged([(100, None), (200, "1"), (ROWS, "2")])
    verdicts[150] = StoredVerdict(
        "pump-01", "pump", "faultline-pump", "1", judged([(ROWS, "2")])[150].verdict
    )
    report = recompute(MACHINE, verdicts, MODELS)
    assert report.differing or report.largest_relative_difference > 1e-9


def test_a_window_lost_on_the_way_is_found() -> None:
    whole, restarted = judged([(ROWS, "1")]), judged([(ROWS, "1")])
    warming_up = whole[0].verdict
    restarted[200] = StoredVerdict(
        "pump-01",
        "pump",
        "faultline-pump",
        "1",
        msgspec.structs.replace(warming_up, timestamp_ms=int(TIMES_MS[200])),
    )
    assert recompute(MACHINE, restarted, MODELS).differing == 1


def test_a_verdict_of_a_reading_that_is_not_stored_differs() -> None:
    fewer = MachineRows("pump-01", SENSORS, TIMES_MS[:-1], MACHINE.values[:-1])
    assert recompute(fewer, judged([(ROWS, "1")]), MODELS).differing == 1


def test_a_version_that_is_not_registered_is_named() -> None:
    with pytest.raises(NotFound, match="version 1"):
        recompute(MACHINE, judged([(ROWS, "1")]), {})


def test_a_status_that_its_score_does_not_bear_out_differs() -> None:
    verdicts = judged([(ROWS, "1")])
    turned = msgspec.structs.replace(verdicts[100].verdict, status=Status.NEW_NORMAL)
    verdicts[100] = StoredVerdict("pump-01", "pump", "faultline-pump", "1", turned)
    assert recompute(MACHINE, verdicts, MODELS).differing == 1
