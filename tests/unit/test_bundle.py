"""What is written is read back, and whatever is not a whole and honest bundle is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
import pytest

from faultline.bundle import (
    ARRAYS,
    GOLDEN,
    MANIFEST,
    REFERENCE,
    FileSum,
    Manifest,
    golden_batch,
    read_bundle,
    write_bundle,
)
from faultline.bundle_files import pack, unpack
from faultline.detector import Detector, MachineHistory, Window
from faultline.detector.reference import make_reference
from faultline.errors import InvalidBundle

CREATED_MS = 1_795_248_000_000


def a_detector(boundary: float = 3.0) -> Detector:
    return Detector(
        sensors=("flow", "heat"),
        window_rows=5,
        max_gap_ms=5_000,
        centre=np.array([10.0, 50.0]),
        scale=np.array([1.0, 2.0]),
        spread=np.array([1.0, 2.0]),
        clusters=np.array([[0.0, 0.0], [3.0, 1.0]]),
        boundary=boundary,
        unknown_score=2.0,
    )


def a_history(rows: int = 100) -> MachineHistory:
    values = np.random.default_rng(7).normal([10.0, 50.0], [1.0, 2.0], (rows, 2))
    values[rows // 2, 1] = np.nan
    values[rows // 2 :] += [3.0, 2.0]
    return MachineHistory("pump-1", np.arange(rows, dtype=np.int64) * 1000, values)


def write(folder: Path, detector: Detector | None = None) -> str:
    detector = detector or a_detector()
    return write_bundle(
        folder,
        detector,
        golden_batch(detector, a_history()),
        model_name="faultline-pump",
        machine_type="pump",
        created_ms=CREATED_MS,
        lineage={"data_version": "abc"},
        summary={"silhouette": float("nan"), "k": 2},
        reference=make_reference(detector, detector.sensors, [a_history()]),
        step_ms=1_000,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "model")
    return tmp_path / "model"


def reseal(
    folder: Path, change: Callable[[Manifest], Manifest] = lambda manifest: manifest
) -> None:
    """Make the manifest fit the altered files, as a forger would."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    sums = {
        name: FileSum(len(content), sha256(content).hexdigest())
        for name in manifest.files
        for content in [(folder / name).read_bytes()]
    }
    manifest = change(msgspec.structs.replace(manifest, files=sums))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidBundle) as caught:
        read_bundle(folder)
    return str(caught.value)


def test_what_is_written_is_read_back_with_the_same_scores(folder: Path) -> None:
    bundle = read_bundle(folder)
    history = a_history()
    empty = Window.empty(("flow", "heat"))
    before, _ = a_detector().score(empty, history.timestamps_ms, history.values)
    after, _ = bundle.detector.score(empty, history.timestamps_ms, history.values)
    np.testing.assert_array_equal(before.score, after.score)


def test_the_manifest_says_what_it_is_of(folder: Path) -> None:
    manifest = read_bundle(folder).manifest
    assert (manifest.model_name, manifest.machine_type) == ("faultline-pump", "pump")
    assert manifest.sensors == ("flow", "heat")
    assert manifest.lineage == {"data_version": "abc"}
    assert manifest.summary == {"silhouette": None, "k": 2}
    assert manifest.step_ms == 1_000


def test_rows_that_do_not_follow_each_other_in_time_are_refused(folder: Path) -> None:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(msgspec.json.encode({**manifest, "step_ms": 0}))
    with pytest.raises(InvalidBundle, match="step_ms must be at least 1"):
        read_bundle(folder)


def test_the_same_detector_gives_the_same_sum(tmp_path: Path) -> None:
    assert write(tmp_path / "a") == write(tmp_path / "b")


def test_another_detector_gives_another_sum(tmp_path: Path) -> None:
    assert write(tmp_path / "a") != write(tmp_path / "b", a_detector(boundary=3.1))


def test_the_sum_read_is_the_sum_written(tmp_path: Path) -> None:
    written = write(tmp_path / "model")
    assert read_bundle(tmp_path / "model").sha256 == written


def test_a_folder_that_holds_something_is_not_written_to(folder: Path) -> None:
    with pytest.raises(InvalidBundle, match="not empty"):
        write(folder)


def test_a_history_without_a_whole_window_gives_no_golden_batch() -> None:
    with pytest.raises(ValueError, match="no row of 'pump-1' can be scored"):
        golden_batch(a_detector(), a_history(rows=4))


@pytest.mark.parametrize("name", [MANIFEST, ARRAYS, GOLDEN])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"missing: {name}" in refusal(folder)


def test_the_reference_is_read_back(folder: Path) -> None:
    reference = read_bundle(folder).reference
    assert reference is not None
    expected = make_reference(a_detector(), ("flow", "heat"), [a_history()])
    for name, array in vars(expected).items():
        np.testing.assert_array_equal(getattr(reference, name), array)


def test_a_reference_that_is_listed_and_gone_is_missed(folder: Path) -> None:
    (folder / REFERENCE).unlink()
    assert f"lists the files {sorted([ARRAYS, GOLDEN, REFERENCE])}" in refusal(folder)


def test_a_bundle_may_be_without_a_reference(tmp_path: Path) -> None:
    names = {"model_name": "faultline-pump", "machine_type": "pump", "created_ms": CREATED_MS}
    golden = golden_batch(a_detector(), a_history())
    write_bundle(tmp_path / "model", a_detector(), golden, **names)  # type: ignore[arg-type]
    assert read_bundle(tmp_path / "model").reference is None


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [
        ("shares", np.array([0.5, 0.6]), "parts of 1"),
        ("cluster", np.array([2]), "cluster"),
        ("scores", np.array([np.nan]), "must be finite"),
        ("sensor_ms", np.array([1.0, 0.0]), "not positive"),
        ("values", np.zeros((1, 3)), "of the shape"),
    ],
)
def test_a_reference_that_cannot_be_is_refused(
    folder: Path, part: str, value: np.ndarray, why: str
) -> None:
    arrays = unpack(REFERENCE, (folder / REFERENCE).read_bytes())
    (folder / REFERENCE).write_bytes(pack({**arrays, part: value}))
    reseal(folder)
    assert refusal(folder).startswith(f"{REFERENCE}: ")
    assert why in refusal(folder)


def test_a_file_too_many_is_named(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"")
    assert "not a part of it: 'model.pkl'" in refusal(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "nothing")


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / ARRAYS).rename(tmp_path / ARRAYS)
    (folder / ARRAYS).symlink_to(tmp_path / ARRAYS)
    assert f"{ARRAYS}: cannot be opened" in refusal(folder)


def test_a_pipe_is_no_file_of_a_bundle(folder: Path) -> None:
    (folder / GOLDEN).unlink()
    os.mkfifo(folder / GOLDEN)
    assert f"{GOLDEN}: is no regular file" in refusal(folder)


def test_a_huge_file_is_not_read(folder: Path) -> None:
    with (folder / ARRAYS).open("ab") as file:
        file.truncate(65 * 1024 * 1024)
    assert "is larger than" in refusal(folder)


@pytest.mark.parametrize("name", [ARRAYS, GOLDEN, REFERENCE])
def test_a_changed_byte_is_noticed(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert f"{name}: its SHA-256 is not the manifest's" in refusal(folder)


def test_another_schema_version_is_refused_by_its_number(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b'{"schema_version": 4, "anything": []}')
    assert "schema version 4" in refusal(folder)


def test_a_bundle_of_an_earlier_release_is_refused_and_it_is_said_what_to_do(folder: Path) -> None:
    reseal(folder, lambda manifest: msgspec.structs.replace(manifest, schema_version=2))
    told = refusal(folder)
    assert "schema version 2" in told
    assert "train the machine type anew" in told


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff\xfe", b'{"schema_version": 3}', b'{"schema_version": "1"}', b"[" * 100_000],
)
def test_a_manifest_that_cannot_be_read_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert refusal(folder).startswith(MANIFEST)


def test_an_altered_detector_is_found_out_by_its_golden_batch(folder: Path) -> None:
    arrays = a_detector().to_arrays()
    arrays["clusters"] = arrays["clusters"] * (1 + 1e-6)
    (folder / ARRAYS).write_bytes(pack(arrays))
    reseal(folder)
    assert "does not give the scores" in refusal(folder)


def with_baselines(shift: float = 0.0) -> Detector:
    return replace(
        a_detector(),
        machines=("pump-0", "pump-1"),
        baselines=np.array([[0.0, 0.0], [0.5, -0.5 + shift]]),
    )


def test_the_golden_batch_of_a_machine_with_a_baseline_is_scored_by_it() -> None:
    own = golden_batch(with_baselines(), a_history())
    assert own.machine.tolist() == [1]
    assert not np.array_equal(own.score, golden_batch(a_detector(), a_history()).score)
    stranger = golden_batch(with_baselines(), replace(a_history(), machine_id="pump-9"))
    assert stranger.machine.tolist() == [-1]


def test_an_altered_baseline_is_found_out_by_the_golden_batch(tmp_path: Path) -> None:
    write(tmp_path / "model", with_baselines())
    assert read_bundle(tmp_path / "model").detector.machines == ("pump-0", "pump-1")
    (tmp_path / "model" / ARRAYS).write_bytes(pack(with_baselines(shift=1e-6).to_arrays()))
    reseal(tmp_path / "model")
    assert "does not give the scores" in refusal(tmp_path / "model")


@pytest.mark.parametrize("index", [-2, 0, 10**12])
def test_a_golden_batch_of_a_machine_that_the_detector_has_not_is_refused(
    folder: Path, index: int
) -> None:
    arrays = unpack(GOLDEN, (folder / GOLDEN).read_bytes())
    (folder / GOLDEN).write_bytes(pack({**arrays, "machine": np.array([index])}))
    reseal(folder)
    assert f"is of machine {index}" in refusal(folder)


def test_the_golden_batch_has_rows_of_every_cluster() -> None:
    golden = golden_batch(a_detector(), a_history())
    assert set(golden.cluster[golden.state == 0].tolist()) == {0, 1}


def test_a_difference_below_a_billionth_is_rounding(folder: Path) -> None:
    arrays = a_detector().to_arrays()
    arrays["scale"] = arrays["scale"] * (1 + 1e-13)
    (folder / ARRAYS).write_bytes(pack(arrays))
    reseal(folder)
    assert read_bundle(folder).manifest.model_name == "faultline-pump"


def test_sensors_that_are_not_the_detectors_are_refused(folder: Path) -> None:
    reseal(folder, lambda manifest: msgspec.structs.replace(manifest, sensors=("flow",)))
    assert "the sensors are not those of the parameters" in refusal(folder)


def test_a_file_that_the_manifest_does_not_list_is_refused(folder: Path) -> None:
    reseal(
        folder,
        lambda manifest: msgspec.structs.replace(manifest, files={ARRAYS: manifest.files[ARRAYS]}),
    )
    assert f"lists the files ['{ARRAYS}']" in refusal(folder)


def test_a_parameter_too_many_is_refused(folder: Path) -> None:
    reseal(
        folder,
        lambda manifest: msgspec.structs.replace(
            manifest, parameters={**manifest.parameters, "code": "import os"}
        ),
    )
    assert "has the parameters" in refusal(folder)


def test_an_array_too_many_is_refused(folder: Path) -> None:
    (folder / ARRAYS).write_bytes(pack({**a_detector().to_arrays(), "more": np.zeros(1)}))
    reseal(folder)
    assert "'more'" in refusal(folder)


def test_a_window_beyond_the_golden_batch_is_refused_before_it_takes_memory(folder: Path) -> None:
    reseal(
        folder,
        lambda manifest: msgspec.structs.replace(
            manifest, parameters={**manifest.parameters, "window_rows": 10**12}
        ),
    )
    assert "a window of 1000000000000 rows" in refusal(folder)


@pytest.mark.parametrize("key", ["timestamps_ms", "values", "score", "state", "cluster", "machine"])
def test_a_golden_batch_without_one_of_its_parts_is_refused(folder: Path, key: str) -> None:
    arrays = unpack(GOLDEN, (folder / GOLDEN).read_bytes())
    del arrays[key]
    (folder / GOLDEN).write_bytes(pack(arrays))
    reseal(folder)
    assert f"{GOLDEN}: holds" in refusal(folder)


def test_a_golden_batch_that_proves_nothing_is_refused(folder: Path) -> None:
    arrays = unpack(GOLDEN, (folder / GOLDEN).read_bytes())
    (folder / GOLDEN).write_bytes(pack({**arrays, "state": np.ones_like(arrays["state"])}))
    reseal(folder)
    assert "no row of the golden batch has a score" in refusal(folder)


def test_bundles_are_read_without_scikit_learn() -> None:
    code = "import sys, faultline.bundle; sys.exit(bool({'sklearn', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
