"""What every registry keeps, the one in memory and MLflow alike."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from faultline.adapters.clock import SystemClock
from faultline.adapters.memory.registry import MemoryRegistry
from faultline.errors import InvalidBundle, NotFound, Unavailable
from faultline.ports.registry import (
    DatasetInput,
    Metric,
    ModelRegistry,
    ModelVersion,
    Stage,
    TrainingRun,
)
from faultline.settings import RegistrySettings

TAGS = {"silhouette": "0.61", "gate": "passed", "reason": "größer als verlangt"}


@pytest.fixture(
    params=["memory", pytest.param("mlflow", marks=pytest.mark.real)],
)
def registry(request: pytest.FixtureRequest) -> ModelRegistry:
    if request.param == "memory":
        return MemoryRegistry(SystemClock())
    return mlflow_at(request.getfixturevalue("platform").mlflow)


def mlflow_at(url: str, timeout_s: float = 20.0) -> ModelRegistry:
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - takes seconds

    return MlflowRegistry(RegistrySettings(MLFLOW_TRACKING_URI=url, mlflow_timeout_s=timeout_s))


@pytest.fixture
def name() -> str:
    return f"faultline-t{uuid4().hex[:12]}"


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    folder = tmp_path / "artifacts"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "manifest.json").write_text("{}")
    (folder / "model" / "arrays.npz").write_bytes(bytes(range(256)))
    (folder / "gate.json").write_text("{}")
    return folder


def log(registry: ModelRegistry, artifacts: Path, **more: Any) -> str:
    run = TrainingRun(
        experiment="faultline-contract",
        name="a run",
        params={f"p{number}": str(number) for number in range(130)},
        metrics=[Metric("silhouette", 0.5 + k / 100, k) for k in range(2, 9)],
        tags={"job_id": "j1"},
        artifacts=artifacts,
        **more,
    )
    return registry.log_run(run)


def register(registry: ModelRegistry, name: str, artifacts: Path) -> ModelVersion:
    return registry.register(name, log(registry, artifacts), TAGS, "What it is.")


def stages(registry: ModelRegistry, name: str) -> dict[str, str]:
    return {one.version: str(one.stage) for one in registry.versions(name)}


def test_a_registered_version_is_in_staging(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    version = register(registry, name, artifacts)
    assert version.version == "1"
    assert version.stage is Stage.STAGING
    assert version.aliases == {"staging"}


def test_a_version_that_is_registered_archived_leaves_the_challenger_in_its_place(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    made = registry.register(name, log(registry, artifacts), TAGS, "", Stage.ARCHIVED)
    assert (made.stage, made.aliases) == (Stage.ARCHIVED, set())
    staging = registry.staging(name)
    assert staging is not None
    assert staging.version == "1"


def test_a_version_keeps_its_tags_and_description(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    version = registry.version(name, "1")
    assert version.tags == {**TAGS, "stage": "Staging"}
    assert version.description == "What it is."


def test_a_version_names_its_run(registry: ModelRegistry, name: str, artifacts: Path) -> None:
    run_id = log(registry, artifacts)
    assert registry.register(name, run_id, {}, "").run_id == run_id
    assert registry.version(name, "1").run_id == run_id


def test_registering_a_run_that_is_not_there_makes_no_model(
    registry: ModelRegistry, name: str
) -> None:
    with pytest.raises(NotFound):
        registry.register(name, "0" * 32, {}, "")
    assert name not in registry.models()


def test_the_alias_staging_is_of_the_newest_version(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    register(registry, name, artifacts)
    assert [(one.version, one.aliases) for one in registry.versions(name)] == [
        ("2", {"staging"}),
        ("1", set()),
    ]


def test_the_version_behind_the_alias_staging_is_found(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    assert registry.staging(name) is None
    register(registry, name, artifacts)
    register(registry, name, artifacts)
    assert registry.staging(name) == registry.version(name, "2")
    registry.promote(name, "2")
    assert registry.staging(name) is None


def test_registering_promotes_nothing(registry: ModelRegistry, name: str, artifacts: Path) -> None:
    register(registry, name, artifacts)
    assert registry.production(name) is None


def test_models_are_listed_once_they_have_a_version(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    assert name not in registry.models()
    register(registry, name, artifacts)
    assert name in registry.models()


def test_a_promoted_version_is_in_production_and_no_more_in_staging(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    assert registry.promote(name, "1") is None
    version = registry.version(name, "1")
    assert (version.stage, version.aliases) == (Stage.PRODUCTION, {"production"})
    assert version.tags["stage"] == "Production"
    assert registry.production(name) == version


def test_the_former_production_version_is_archived_and_returned(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    register(registry, name, artifacts)
    registry.promote(name, "1")
    former = registry.promote(name, "2")
    assert former is not None
    assert former.version == "1"
    assert stages(registry, name) == {"1": "Archived", "2": "Production"}
    assert registry.version(name, "1").tags["stage"] == "Archived"


def test_promoting_again_changes_nothing(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    register(registry, name, artifacts)
    registry.promote(name, "1")
    registry.promote(name, "2")
    before = registry.versions(name)
    assert registry.promote(name, "2") is None
    assert registry.versions(name) == before


def test_an_older_version_can_be_promoted_again(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    register(registry, name, artifacts)
    registry.promote(name, "1")
    registry.promote(name, "2")
    registry.promote(name, "1")
    assert stages(registry, name) == {"1": "Production", "2": "Archived"}


def test_promoting_leaves_a_challenger_in_staging(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    register(registry, name, artifacts)
    registry.promote(name, "1")
    assert registry.version(name, "2").aliases == {"staging"}


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.ARCHIVED, Stage.NONE])
def test_a_version_moved_out_of_production_leaves_none_there(
    registry: ModelRegistry, name: str, artifacts: Path, stage: Stage
) -> None:
    register(registry, name, artifacts)
    registry.promote(name, "1")
    moved = registry.set_stage(name, "1", stage)
    assert moved.stage is stage
    assert moved.aliases == ({"staging"} if stage is Stage.STAGING else set())
    assert registry.production(name) is None


def test_an_archived_version_is_no_challenger(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    archived = registry.set_stage(name, "1", Stage.ARCHIVED)
    assert archived.aliases == set()
    assert archived.tags["stage"] == "Archived"


def test_production_is_reached_by_promotion_alone(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    with pytest.raises(ValueError, match="promote"):
        registry.set_stage(name, "1", Stage.PRODUCTION)


def test_tags_are_added_and_overwritten(
    registry: ModelRegistry, name: str, artifacts: Path
) -> None:
    register(registry, name, artifacts)
    registry.set_tags(name, "1", {"gate": "refused", "more": "x"})
    tags = registry.version(name, "1").tags
    assert (tags["gate"], tags["more"], tags["silhouette"]) == ("refused", "x", "0.61")


def test_a_download_is_what_was_logged_as_the_model(
    registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
) -> None:
    register(registry, name, artifacts)
    folder = registry.download(name, "1", tmp_path / "fetched")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in (artifacts / "model").iterdir()
    }


def test_a_folder_of_a_run_can_be_fetched(
    registry: ModelRegistry, artifacts: Path, tmp_path: Path
) -> None:
    (artifacts / "dataset").mkdir()
    (artifacts / "dataset" / "rows.parquet").write_bytes(b"rows")
    run_id = log(registry, artifacts)
    folder = registry.download_artifacts(run_id, "dataset", tmp_path / "fetched", 4)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"rows.parquet": b"rows"}


def test_a_folder_larger_than_allowed_is_not_fetched(
    registry: ModelRegistry, artifacts: Path, tmp_path: Path
) -> None:
    (artifacts / "dataset").mkdir()
    (artifacts / "dataset" / "rows.parquet").write_bytes(b"rows")
    run_id = log(registry, artifacts)
    with pytest.raises(InvalidBundle, match="has 4 bytes, at most 3"):
        registry.download_artifacts(run_id, "dataset", tmp_path / "fetched", 3)
    assert not (tmp_path / "fetched").exists()


def test_a_folder_or_a_run_that_is_not_there_is_not_found(
    registry: ModelRegistry, artifacts: Path, tmp_path: Path
) -> None:
    run_id = log(registry, artifacts)
    with pytest.raises(NotFound):
        registry.download_artifacts(run_id, "dataset", tmp_path, 100)
    with pytest.raises(NotFound):
        registry.download_artifacts("0" * 32, "model", tmp_path, 100)


@pytest.mark.parametrize("unknown", ["faultline-nothing", "other", "", "faultline-' OR 1=1"])
def test_an_unknown_model_is_not_found(registry: ModelRegistry, unknown: str) -> None:
    with pytest.raises(NotFound):
        registry.versions(unknown)
    with pytest.raises(NotFound):
        registry.version(unknown, "1")
    with pytest.raises(NotFound):
        registry.promote(unknown, "1")


@pytest.mark.parametrize("unknown", ["99", "0", "latest", "../1", "1 "])
def test_an_unknown_version_is_not_found(
    registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path, unknown: str
) -> None:
    register(registry, name, artifacts)
    with pytest.raises(NotFound):
        registry.version(name, unknown)
    with pytest.raises(NotFound):
        registry.promote(name, unknown)
    with pytest.raises(NotFound):
        registry.set_stage(name, unknown, Stage.ARCHIVED)
    with pytest.raises(NotFound):
        registry.set_tags(name, unknown, {"a": "b"})
    with pytest.raises(NotFound):
        registry.download(name, unknown, tmp_path / "fetched")


def test_a_model_that_is_not_there_has_no_production_version(
    registry: ModelRegistry, name: str
) -> None:
    assert registry.production(name) is None


@pytest.mark.real
class TestMlflow:
    """What MLflow's own clients see of it, and what only MLflow can do."""

    @pytest.fixture
    def url(self, request: pytest.FixtureRequest) -> str:
        return str(request.getfixturevalue("platform").mlflow)

    @pytest.fixture
    def registry(self, url: str) -> ModelRegistry:
        return mlflow_at(url)

    @pytest.fixture
    def client(self, url: str) -> Iterator[object]:
        import mlflow  # noqa: PLC0415 - takes seconds

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(url)
        yield mlflow.MlflowClient(url, url)
        mlflow.set_tracking_uri(before)

    def test_the_run_has_everything(
        self, registry: ModelRegistry, client: Any, artifacts: Path
    ) -> None:
        run_id = log(registry, artifacts)
        run = client.get_run(run_id)
        assert run.info.status == "FINISHED"
        assert run.info.run_name == "a run"
        assert len(run.data.params) == 130
        assert run.data.tags["job_id"] == "j1"
        history = client.get_metric_history(run_id, "silhouette")
        assert [(one.step, one.value) for one in history] == [
            (k, 0.5 + k / 100) for k in range(2, 9)
        ]
        assert {one.path for one in client.list_artifacts(run_id)} == {"model", "gate.json"}

    def test_a_dataset_is_listed_as_an_input_that_can_be_loaded(
        self, registry: ModelRegistry, client: Any, artifacts: Path
    ) -> None:
        import mlflow.data  # noqa: PLC0415 - takes seconds

        (artifacts / "dataset").mkdir()
        (artifacts / "dataset" / "rows.parquet").write_bytes(b"rows")
        dataset = DatasetInput("pump", "ab" * 32, "dataset", {"flow": "double"}, {"rows": 3})
        run = client.get_run(log(registry, artifacts, dataset=dataset))
        [listed] = run.inputs.dataset_inputs
        assert listed.dataset.name == "pump"
        assert listed.dataset.digest == ("ab" * 32)[:36]
        assert [(tag.key, tag.value) for tag in listed.tags] == [
            ("mlflow.data.context", "training")
        ]
        loaded = mlflow.data.get_source(listed).load()
        assert (Path(loaded) / "rows.parquet").read_bytes() == b"rows"

    @pytest.mark.parametrize("suffix", ["@production", "/Production", "/1"])
    def test_models_uris_resolve(
        self,
        registry: ModelRegistry,
        client: Any,
        name: str,
        artifacts: Path,
        tmp_path: Path,
        suffix: str,
    ) -> None:
        import mlflow.artifacts  # noqa: PLC0415 - takes seconds

        register(registry, name, artifacts)
        registry.promote(name, "1")
        fetched = mlflow.artifacts.download_artifacts(
            f"models:/{name}{suffix}", dst_path=str(tmp_path / "fetched")
        )
        assert (Path(fetched) / "bundle" / "arrays.npz").read_bytes() == bytes(range(256))

    def test_an_alias_moved_by_another_client_is_followed(
        self, registry: ModelRegistry, client: Any, name: str, artifacts: Path
    ) -> None:
        register(registry, name, artifacts)
        register(registry, name, artifacts)
        registry.promote(name, "1")
        client.set_registered_model_alias(name, "production", "2")
        production = registry.production(name)
        assert production is not None
        assert production.version == "2"

    def test_a_promotion_cut_off_after_the_alias_is_completed_by_repeating_it(
        self, registry: ModelRegistry, client: Any, name: str, artifacts: Path
    ) -> None:
        register(registry, name, artifacts)
        register(registry, name, artifacts)
        registry.promote(name, "1")
        client.set_registered_model_alias(name, "production", "2")
        registry.promote(name, "2")
        assert stages(registry, name) == {"1": "Archived", "2": "Production"}

    def test_a_deleted_experiment_comes_back_for_the_next_run(
        self, registry: ModelRegistry, client: Any, artifacts: Path
    ) -> None:
        log(registry, artifacts)
        experiment = client.get_experiment_by_name("faultline-contract")
        client.delete_experiment(experiment.experiment_id)
        run = client.get_run(log(registry, artifacts))
        assert run.info.experiment_id == experiment.experiment_id

    def test_a_folder_in_the_bundle_is_refused(
        self, registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
    ) -> None:
        (artifacts / "model" / "code").mkdir()
        (artifacts / "model" / "code" / "x.py").write_text("")
        register(registry, name, artifacts)
        with pytest.raises(InvalidBundle, match="'code' is no file of a bundle"):
            registry.download(name, "1", tmp_path / "fetched")

    def test_more_files_than_a_bundle_has_are_refused(
        self, registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
    ) -> None:
        for number in range(20):
            (artifacts / "model" / f"{number}.json").write_text("")
        register(registry, name, artifacts)
        with pytest.raises(InvalidBundle, match="holds 22 files"):
            registry.download(name, "1", tmp_path / "fetched")

    def test_a_version_without_files_is_not_found(
        self, registry: ModelRegistry, name: str, artifacts: Path, tmp_path: Path
    ) -> None:
        for path in (artifacts / "model").iterdir():
            path.unlink()
        register(registry, name, artifacts)
        with pytest.raises(NotFound, match="holds no files"):
            registry.download(name, "1", tmp_path / "fetched")


def test_a_registry_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    registry = mlflow_at("http://127.0.0.1:9", timeout_s=2.0)
    with pytest.raises(Unavailable, match="MLflow could not list the models"):
        registry.models()
    with pytest.raises(Unavailable):
        registry.production("faultline-pump")
    with pytest.raises(Unavailable):
        registry.download("faultline-pump", "1", tmp_path)


_WITHOUT_HEAVY_PACKAGES = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pandas", "scipy", "sklearn", "flask", "pyarrow"}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from faultline.adapters.mlflow import MlflowRegistry
from faultline.errors import Unavailable
from faultline.settings import RegistrySettings

registry = MlflowRegistry(RegistrySettings(mlflow_tracking_uri="http://127.0.0.1:9"))
try:
    registry.models()
except Unavailable:
    sys.exit(0)
sys.exit(1)
"""


def test_the_light_client_is_enough() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _WITHOUT_HEAVY_PACKAGES], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.real
def test_a_run_that_cannot_be_logged_is_not_left_behind(
    platform: Any, name: str, artifacts: Path
) -> None:
    (artifacts / "gone.json").symlink_to(artifacts / "nowhere")
    registry = mlflow_at(platform.mlflow)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            registry.log_run(TrainingRun(name, "a run", {}, [], {}, artifacts))

    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - takes seconds

    client = MlflowClient(tracking_uri=platform.mlflow)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    assert client.search_runs([experiment.experiment_id]) == []
