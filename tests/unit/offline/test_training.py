from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.bundle import read_bundle
from faultline.data_version import data_version
from faultline.detector.config import FitConfig
from faultline.errors import Conflict, InvalidBundle, NotFound, UntrainableHistory
from faultline.offline import summary
from faultline.offline.block import as_text
from faultline.offline.histories import Histories, join
from faultline.offline.models import load_folder, pull
from faultline.offline.output import Unwritable
from faultline.offline.reading import read_table
from faultline.offline.table import Layout
from faultline.offline.training import Learnt, learn, require_free, save
from faultline.ports.registry import TrainingRun


def histories(folder: Path, text: str, machine_column: str | None = None) -> Histories:
    path = folder / "train.csv"
    path.write_text(text)
    return join([read_table(path, Layout(machine_column=machine_column))], "machine")


def test_the_bundle_is_the_detector_that_was_fitted(learnt: Learnt, model_folder: Path) -> None:
    bundle = read_bundle(model_folder)
    assert bundle.manifest.model_name == "faultline-pump"
    assert bundle.manifest.machine_type == "pump"
    assert bundle.manifest.lineage["inputs"] == ["train.csv"]
    assert bundle.manifest.lineage["data_version"] == data_version(
        learnt.histories.sensors, learnt.histories.machines
    )
    assert bundle.manifest.summary["k"] == learnt.fit.k
    assert bundle.detector.parameters() == learnt.fit.detector.parameters()
    for name, array in learnt.fit.detector.to_arrays().items():
        assert np.array_equal(bundle.detector.to_arrays()[name], array)


def test_the_same_rows_and_seed_give_the_same_arrays(learnt: Learnt, tmp_path: Path) -> None:
    again = learn(learnt.histories, FitConfig())
    for folder in ("a", "b"):
        save(again, tmp_path / folder, machine_type="pump", inputs=[], created_ms=0)
    one, other = ((tmp_path / name / "arrays.npz").read_bytes() for name in ("a", "b"))
    assert one == other
    assert again.fit.detector.boundary == learnt.fit.detector.boundary


def test_a_folder_with_a_model_is_refused_unless_it_may_be_replaced(
    learnt: Learnt, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "model"
    require_free(folder, overwrite=False)
    first = save(learnt, folder, machine_type="pump", inputs=[], created_ms=1)
    with pytest.raises(Conflict, match="holds a model already; --overwrite replaces it"):
        require_free(folder, overwrite=False)
    require_free(folder, overwrite=True)
    second = save(learnt, folder, machine_type="pump", inputs=[], created_ms=2)
    assert first != second
    assert read_bundle(folder).manifest.created_ms == 2


def test_a_folder_that_cannot_be_made_is_named(learnt: Learnt, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unwritable, match=r"file/model: cannot be written"):
        save(learnt, tmp_path / "file" / "model", machine_type="p", inputs=[], created_ms=0)


def test_a_folder_with_something_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(Conflict, match=r"holds something else than a model \(thesis.tex\)"):
        require_free(tmp_path, overwrite=True)
    with pytest.raises(Conflict, match="is a file"):
        require_free(tmp_path / "thesis.tex", overwrite=True)


def test_a_history_that_is_too_short_is_refused_with_what_it_lacks(
    tmp_path: Path, pump: Any
) -> None:
    short = histories(tmp_path, pump.csv_text(pump.rows(1, 30)))
    with pytest.raises(UntrainableHistory, match="send more history"):
        learn(short, FitConfig())


def test_a_history_of_one_time_says_that_its_rows_were_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("timestamp,a\n" + "".join(f"5,{row}\n" for row in range(300)))
    with pytest.raises(UntrainableHistory, match=r"299 of the 300 rows were left out: their time"):
        learn(join([read_table(path, Layout())], "machine"), FitConfig())


def test_columns_that_cannot_be_learnt_from_are_named_and_left_out(
    tmp_path: Path, pump: Any
) -> None:
    lines = pump.csv_text(pump.rows(1, 1_000)).splitlines()
    added = [f"{lines[0]},fixed,gone,site", *(f"{line},5,,north" for line in lines[1:])]
    found = learn(histories(tmp_path, "\n".join(added)), FitConfig())
    content = summary.sensors(found).content
    assert content["used"] == tuple(sorted(pump.sensors))
    assert set(content["left_out"]) == {"fixed", "gone", "site"}
    text = as_text(summary.blocks(found))
    assert "left out: fixed (constant: always 5)" in text
    assert "left out: site (holds text, no numbers)" in text


def test_the_summary_says_the_same_in_words_and_as_data(learnt: Learnt) -> None:
    found = summary.blocks(learnt)
    data = msgspec.json.decode(msgspec.json.encode({one.key: one.content for one in found}))
    assert data["rows"]["used"] == 1_500
    assert data["window"]["period_rows"] == 40
    assert data["clusters"]["k"] == learnt.fit.k
    assert data["boundary"]["distance"] == learnt.fit.detector.boundary
    assert data["false_alarms_expected"]["held_out_rate"] == learnt.fit.held_out_alarm_rate
    text = as_text(found)
    assert "1,500 from 2026-01-01T00:00:00.000Z to 2026-01-01T00:24:59.000Z" in text
    assert "one load cycle of 40 rows" in text


def test_a_scale_is_explained_where_it_is_first_met(learnt: Learnt) -> None:
    lines = summary.distance(learnt).lines
    assert " scales" in lines[0]
    assert "a scale is the robust standard deviation" in lines[1]


def test_one_cluster_has_no_silhouette_and_says_so(tmp_path: Path, pump: Any) -> None:
    rng = np.random.default_rng(0)
    one = learn(histories(tmp_path, pump.csv_text(5.0 + rng.normal(size=(1_000, 4)))), FitConfig())
    assert one.fit.k == 1
    block = summary.clusters(one)
    assert block.content["silhouette"] is None
    assert "undefined" in block.lines[0]


def test_expected_false_alarms_count_episodes_of_the_held_out_history(
    tmp_path: Path, pump: Any
) -> None:
    # Long enough for the blocks to be alike: of 37 cycles, one block lies over the boundary.
    calm = learn(histories(tmp_path, pump.csv_text(pump.rows(1, 4_000))), FitConfig())
    assert calm.expected_alarms().alarms == 0
    rows = pump.rows(1, 1_500)
    rows[700:760] += 30.0
    restless = learn(histories(tmp_path, pump.csv_text(rows)), FitConfig())
    expected = restless.expected_alarms()
    assert expected.alarms >= 1
    assert expected.row_rate == restless.fit.held_out_alarm_rate
    assert expected.machine_days == pytest.approx(1_500 / 86_400, rel=0.2)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidBundle, match="no such folder; give the one that `faultline fit"):
        load_folder(tmp_path / "nowhere")
    with pytest.raises(InvalidBundle, match="missing: "):
        load_folder(tmp_path)


@pytest.fixture
def registry(model_folder: Path, tmp_path: Path) -> MemoryRegistry:
    artifacts = tmp_path / "run"

    shutil.copytree(model_folder, artifacts / "model")
    registry = MemoryRegistry(SystemClock())
    run = TrainingRun("e", "r", {}, [], {}, artifacts)
    total = read_bundle(model_folder).sha256
    for _ in range(2):
        registry.register("faultline-pump", registry.log_run(run), {"bundle_sha256": total}, "")
    registry.promote("faultline-pump", "1")
    return registry


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("models:/faultline-pump@production", "1"),
        ("models:/faultline-pump/Production", "1"),
        ("models:/faultline-pump@staging", "2"),
        ("models:/faultline-pump/2", "2"),
    ],
)
def test_a_registered_version_is_pulled_by_its_reference(
    registry: MemoryRegistry, learnt: Learnt, reference: str, version: str
) -> None:
    loaded = pull(reference, registry)
    assert (loaded.model.name, loaded.model.version) == ("faultline-pump", version)
    assert loaded.model.detector.boundary == learnt.fit.detector.boundary


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("models:/faultline-pump", "names no version; write models:/faultline-TYPE@production"),
        ("models:/faultline-pump/9", "9"),
        ("models:/faultline-valve@production", "faultline-valve has no version in production"),
        ("models:/faultline-pump@champion", "no version in champion"),
    ],
)
def test_a_reference_to_nothing_is_refused(
    registry: MemoryRegistry, reference: str, told: str
) -> None:
    with pytest.raises(NotFound, match=told):
        pull(reference, registry)


def test_a_version_that_is_not_what_was_registered_is_refused(registry: MemoryRegistry) -> None:
    registry.set_tags("faultline-pump", "1", {"bundle_sha256": "0" * 64})
    with pytest.raises(InvalidBundle, match="it was altered"):
        pull("models:/faultline-pump@production", registry)
