"""A past verdict, given again from what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest

from faultline.adapters.memory import MemoryDatabase
from faultline.alarms import AlarmPolicy
from faultline.cli.why import document, lines
from faultline.detector import MachineHistory
from faultline.detector.fit import FitConfig, fit
from faultline.errors import NotFound
from faultline.hindsight import Hindsight, look_back
from faultline.judge import Model, judge
from faultline.past import PAGE_ROWS
from faultline.ports.broker import Partition
from faultline.ports.stores import OffsetRange, RecordBatch
from faultline.readings import Reading, make_reading
from faultline.verdicts import Status, VerdictBatch

SENSORS = ("flow", "pressure")
ROWS = 1_500
STEP_MS = 1_000


def values(seed: int, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).normal(loc=(40.0, 5.0), size=(rows, 2))


@cache
def model(version: str) -> Model:
    times_ms = STEP_MS * np.arange(600, dtype=np.int64)
    history = MachineHistory("pump-00", times_ms, values(int(version), 600))
    # The second looks further back than rows are kept for the first.
    window_rows = 5 if version == "1" else 140
    detector = fit(SENSORS, [history], FitConfig(window_rows=window_rows)).detector
    return Model("faultline-pump", version, detector)


def load(name: str, version: str) -> Model:
    if version not in {"1", "2"}:
        raise NotFound(f"{name} has no version {version}")
    return model(version)


def streamed(rows: int = ROWS) -> list[Reading]:
    # Half a deviation away from the history: near enough to be followed.
    cells_of = values(9, rows) + 0.5
    return [
        make_reading("pump-01", row * STEP_MS, dict(zip(SENSORS, cells, strict=True)), "pump")
        for row, cells in enumerate(cells_of.tolist())
    ]


class Stored:
    """What the recorder has kept of one machine."""

    def __init__(
        self,
        cuts: Sequence[tuple[int, str | None]],
        readings: Sequence[Reading] | None = None,
        *,
        filled: bool = False,
    ) -> None:
        """`filled`: the predictor finds the window's rows in the store when a version begins."""
        self.readings = list(readings or streamed())
        self.batches: list[VerdictBatch] = []
        state, begin = None, 0
        for end, version in cuts:
            if filled and begin:
                last = judge(model("2"), None, self.readings[:begin], AlarmPolicy()).state
                state = replace(state or last, window=last.window)
            for start in range(begin, end, 37):
                part = self.readings[start : min(start + 37, end)]
                judgement = judge(model(version) if version else None, state, part, AlarmPolicy())
                state = judgement.state
                self.batches.append(judgement.batch)
            begin = end

    def database(self) -> MemoryDatabase:
        database = MemoryDatabase()
        batch = RecordBatch(
            offsets={Partition("all", 0): OffsetRange(0, 1)},
            readings=self.readings,
            verdicts=self.batches,
        )
        database.record_store().record("recorder", batch, lambda _: None)
        return database

    def look_back(self, row: int) -> Hindsight:
        return look_back(self.database().fleet_store(), load, "pump-01", row * STEP_MS)


@pytest.mark.parametrize("row", [0, 3, 100, 201, 699, 703, 1_400])
def test_a_verdict_is_equal_when_it_is_given_again(row: int) -> None:
    stored = Stored([(20, None), (700, "1"), (ROWS, "2")])
    found = stored.look_back(row)
    assert found.equal
    assert found.caveats == ()
    assert found.anew is not None
    assert bool(found.anew.contributions) == (found.anew.score is not None)


def test_what_the_version_had_followed_is_followed_again() -> None:
    stored = Stored([(ROWS, "1")])
    found = stored.look_back(ROWS - 1)
    assert (found.equal, found.replayed) == (True, ROWS)
    # From the window alone it would be another score: this is what the long replay is for.
    short = Stored([(200, "1")], stored.readings[-200:])
    last = short.batches[-1].verdicts[-1]
    assert last.score != pytest.approx(found.stored.verdict.score, rel=1e-6)


def test_the_replay_begins_where_the_version_did_and_fills_the_window_before() -> None:
    found = Stored([(700, "1"), (ROWS, "2")]).look_back(800)
    filling = max(140, model("2").detector.rows_needed)
    assert found.of_version == 101
    assert found.replayed == 101 + filling
    assert found.replayed_from_ms == (700 - filling) * STEP_MS


def test_a_window_that_was_filled_from_the_store_is_filled_again() -> None:
    stored = Stored([(700, "1"), (ROWS, "2")], filled=True)
    found = stored.look_back(701)
    assert found.stored.verdict.status is not Status.WARMING_UP
    assert found.equal
    assert "filled from stored readings" in found.caveats[-1]


def test_what_is_not_equal_says_what_may_have_been_lost() -> None:
    stored = Stored([(ROWS, "1")])
    alone = Stored([(1_000, "1")], stored.readings[500:])
    stored.batches = [*stored.batches[:14], *alone.batches]
    found = stored.look_back(1_200)
    assert not found.equal
    assert "lost its snapshots" in found.caveats[-1]


def test_rows_from_before_the_first_version_only_fill_the_window() -> None:
    found = Stored([(1_000, None), (ROWS, "1")]).look_back(1_100)
    assert (found.equal, found.of_version) == (True, 101)
    assert found.replayed < 500


def test_after_a_rollback_it_begins_with_the_rollback() -> None:
    found = Stored([(300, "1"), (600, "2"), (ROWS, "1")]).look_back(1_000)
    assert (found.equal, found.of_version) == (True, 401)


def test_rows_without_a_model_do_not_end_what_is_followed() -> None:
    found = Stored([(700, "1"), (710, None), (ROWS, "1")]).look_back(1_000)
    assert (found.equal, found.of_version) == (True, 1_001)


def test_a_verdict_without_a_model_is_given_again_without_one() -> None:
    found = Stored([(20, None), (ROWS, "1")]).look_back(10)
    assert found.equal
    assert found.stored.verdict.status is Status.NO_MODEL


def tampered(stored: Stored, row: int, **change: Any) -> Stored:
    stored.batches = [
        msgspec.structs.replace(
            batch,
            verdicts=tuple(
                msgspec.structs.replace(one, **change) if one.timestamp_ms == row * STEP_MS else one
                for one in batch.verdicts
            ),
        )
        for batch in stored.batches
    ]
    return stored


@pytest.mark.parametrize("change", [{"score": 0.123}, {"status": Status.FAILURE}, {"cluster": 7}])
def test_another_verdict_than_comes_out_is_found(change: dict[str, Any]) -> None:
    assert not tampered(Stored([(ROWS, "1")]), 900, **change).look_back(900).equal


def test_a_late_reading_is_left_out_and_said() -> None:
    readings = streamed()
    readings[500], readings[501] = readings[501], readings[500]
    stored = Stored([(ROWS, "1")], readings)
    found = stored.look_back(900)
    assert found.equal
    assert "1 readings came late" in found.caveats[0]
    late = stored.look_back(500)
    assert (late.equal, late.anew) == (False, None)
    assert "order of arrival" in late.caveats[-1]


def test_readings_that_are_no_longer_stored_are_said() -> None:
    stored = Stored([(ROWS, "1")])
    stored.readings = [stored.readings[0], *stored.readings[400:]]
    found = stored.look_back(900)
    assert "399 of the readings that were judged are no longer stored" in found.caveats


def test_verdicts_that_are_no_longer_stored_are_said() -> None:
    stored = Stored([(ROWS, "1")])
    stored.batches = stored.batches[10:]
    found = stored.look_back(900)
    assert "are no longer stored, while the machine is known since 1970" in found.caveats[0]


def test_a_version_before_that_cannot_be_had_only_fills_the_window() -> None:
    stored = Stored([(700, "1"), (ROWS, "2")])
    stored.batches = [
        msgspec.structs.replace(batch, model_version="9") if batch.model_version == "1" else batch
        for batch in stored.batches
    ]
    found = stored.look_back(1_200)
    assert found.anew is not None
    assert len(found.caveats) == 1
    assert "has no version 9" in found.caveats[0]


def test_a_version_that_is_gone_is_named() -> None:
    stored = Stored([(ROWS, "1")])
    stored.batches = [msgspec.structs.replace(batch, model_version="9") for batch in stored.batches]
    with pytest.raises(NotFound, match="no version 9"):
        stored.look_back(900)


def test_a_time_without_a_reading_names_the_verdict_before() -> None:
    store = Stored([(ROWS, "1")]).database().fleet_store()
    with pytest.raises(NotFound, match=r"no reading at 1970.*last before is at .*00:15:00.000Z"):
        look_back(store, load, "pump-01", 900_500)


def test_a_reading_that_is_not_judged_yet_is_told_from_one_that_is_not_there() -> None:
    stored = Stored([(ROWS, "1")])
    stored.batches = stored.batches[:-1]
    with pytest.raises(NotFound, match="has no verdict yet"):
        stored.look_back(ROWS - 1)


class WatchedStore:
    """Keeps how many rows were in each answer."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.pages: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def readings(self, *args: Any, **kwargs: Any) -> Any:
        rows = self._store.readings(*args, **kwargs)
        self.pages.append(len(rows.timestamps_ms))
        return rows

    def verdicts(self, *args: Any, **kwargs: Any) -> Any:
        page = self._store.verdicts(*args, **kwargs)
        self.pages.append(len(page))
        return page


LONG = 2 * PAGE_ROWS + 1_500


@pytest.mark.parametrize(
    ("unjudged", "without_model"), [(0, 0), (PAGE_ROWS + 1_000, 0), (0, PAGE_ROWS + 1_000)]
)
def test_of_a_long_history_there_is_a_page_in_memory(unjudged: int, without_model: int) -> None:
    """Whatever it is that there is much of, and the answer is that of a short history."""
    readings = streamed(LONG)
    judged = [*readings[:300], *readings[300 + unjudged :]]
    cuts = [(300, "1"), (300 + without_model, None), (len(judged), "1")]
    stored = Stored(cuts, judged)
    stored.readings = readings
    store = WatchedStore(stored.database().fleet_store())
    told: list[tuple[int, int | None]] = []
    found = look_back(
        store,
        load,
        "pump-01",
        (LONG - 1) * STEP_MS,
        lambda done, total: told.append((done, total)),
    )
    assert found.equal
    assert (found.replayed, found.of_version) == (LONG, len(judged))
    assert max(store.pages) == PAGE_ROWS
    assert told[-1] == (len(judged), len(judged))
    assert max(after[0] - before[0] for before, after in pairwise(told)) <= PAGE_ROWS
    said = f"{unjudged} stored readings have no verdict and are left out"
    assert found.caveats == ((said,) if unjudged else ())


def test_it_is_told_to_a_person() -> None:
    stored = Stored([(700, "1"), (ROWS, "2")])
    told = document(stored.look_back(800))
    text = "\n".join(lines(told))
    assert "pump-01 at 1970-01-01T00:13:20.000Z, by faultline-pump version 2" in text
    assert "equal" in text
    filling = max(140, model("2").detector.rows_needed)
    assert f"replayed {101 + filling} readings from 1970-01-01T00:0" in text
    assert f"the first {filling} from before the version began" in text
    assert told["sentence"] in text
    different = document(tampered(stored, 800, score=0.5).look_back(800))
    assert "NOT equal" in "\n".join(lines(different))
    assert msgspec.json.decode(msgspec.json.encode(different))["stored"]["score"] == 0.5


def test_what_cannot_be_given_again_is_told_to_a_person() -> None:
    found = Stored([(ROWS, "1")]).look_back(800)
    text = "\n".join(lines(document(replace(found, anew=None, equal=False, caveats=("gone",)))))
    assert "not reproduced" in text
    assert "note: gone" in text
