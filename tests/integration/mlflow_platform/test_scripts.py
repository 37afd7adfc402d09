"""The scripts without Docker, on the local stack's MLflow and PostgreSQL and on SQLite."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from faultline.local.ports import Ports, is_free
from faultline.local.stack import Stack

from .conftest import FOLDER, Platform, empty, free_port, require, serving

pytestmark = pytest.mark.real

SCRIPTS = sorted(path for path in (FOLDER / "scripts").glob("*.sh") if path.name != "lib.sh")


@dataclass(frozen=True)
class Seed:
    """Two old runs: one is behind a version, the other behind nothing."""

    model: str
    used: str
    unused: str


@dataclass(frozen=True)
class Copy:
    """The stack's platform, restored elsewhere, with a server."""

    place: Platform
    seed: Seed
    client: Any


def sow(uri: str) -> Seed:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    client = MlflowClient(uri)
    name = f"scripts-{uuid4().hex[:8]}"
    experiment = client.create_experiment(name)
    runs = []
    for _ in range(2):
        run = client.create_run(experiment, start_time=1_000_000)
        client.log_text(run.info.run_id, "what it learned", "model/note.txt")
        client.set_terminated(run.info.run_id, end_time=2_000_000)
        runs.append(run)
    used, unused = runs
    client.create_registered_model(name)
    client.create_model_version(name, f"{used.info.artifact_uri}/model", used.info.run_id)
    return Seed(name, used.info.run_id, unused.info.run_id)


@pytest.fixture(scope="module")
def seed(uri: str) -> Seed:
    return sow(uri)


@pytest.fixture(scope="module")
def archive(local: Platform, seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backups")
    done = local.script("backup", folder)
    assert done.returncode == 0, done.stderr
    assert "the archive is whole" in done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def copy(
    archive: Path, seed: Seed, platform_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Copy]:
    from mlflow import MlflowClient  # noqa: PLC0415 - takes seconds

    folder = tmp_path_factory.mktemp("copy")
    place = empty(platform_stack, folder, "postgresql")
    done = place.script("restore", archive)
    assert done.returncode == 0, done.stderr
    assert "restored and verified" in done.stderr
    with serving(place, folder / "log") as uri:
        yield Copy(place, seed, MlflowClient(uri))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_explains_itself(script: Path) -> None:
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {script.name} ")


def test_the_scripts_are_clean_for_shellcheck() -> None:
    shellcheck = require("shellcheck")
    files = [*SCRIPTS, FOLDER / "entrypoint.sh", FOLDER / "examples" / "rest_api.sh"]
    done = subprocess.run(
        [shellcheck, "--external-sources", "--source-path=SCRIPTDIR", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_well_platform_is_found_so(local: Platform) -> None:
    done = local.script("health-check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[:4] for line in done.stdout.splitlines()] == ["ok  "] * 4


def test_a_full_disk_is_told_and_nothing_else(local: Platform) -> None:
    done = local.script("health-check", "--min-free-gb", "1e9")
    assert done.returncode == 1
    (wrong,) = (line for line in done.stdout.splitlines() if line.startswith("FAIL"))
    assert wrong.startswith("FAIL  disk")


def test_what_is_down_is_told_apart(platform_stack: Stack, tmp_path: Path) -> None:
    place = empty(platform_stack, tmp_path, "sqlite")
    backend = f"postgresql+psycopg2://u:secret@127.0.0.1:{free_port()}/mlflow"
    done = place.script("health-check", MLFLOW_BACKEND_STORE_URI=backend)
    assert done.returncode == 1
    assert "FAIL  server         nothing answers at http://127.0.0.1:" in done.stdout
    assert "FAIL  database       postgresql+psycopg2://u:***@127.0.0.1:" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    assert "FAIL  artifact store" in done.stdout


def test_an_upgrade_makes_the_tables_and_tells_an_old_one(
    platform_stack: Stack, tmp_path: Path
) -> None:
    place = empty(platform_stack, tmp_path, "sqlite")
    done = place.script("upgrade")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("schema (none) -> ")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'older'")
        database.commit()
    assert "run upgrade.sh" in place.script("health-check").stdout
    # What the image's server begins with.
    check = place.run(sys.executable, FOLDER / "tools" / "upgrade.py", "--check")
    assert check.returncode == 1
    assert "the database's tables are of revision older" in check.stderr


def test_an_archive_says_what_is_in_it(archive: Path, seed: Seed) -> None:
    assert archive.stat().st_mode & 0o077 == 0
    with tarfile.open(archive) as content:
        manifest = json.load(content.extractfile("manifest.json"))  # type: ignore[arg-type]
        names = set(content.getnames())
    assert names == {*manifest["files"], "manifest.json"}
    assert manifest["rows"]["model_versions"] >= 1
    note = next(name for name in names if seed.used in name)
    assert manifest["files"][note]["bytes"] == len("what it learned")


def test_a_restored_platform_serves_what_the_first_did(copy: Copy, tmp_path: Path) -> None:
    version = copy.client.get_model_version(copy.seed.model, "1")
    assert version.run_id == copy.seed.used
    command = (
        "import mlflow.artifacts as a, sys; a.download_artifacts(sys.argv[1], dst_path=sys.argv[2])"
    )
    done = copy.place.run(sys.executable, "-c", command, f"models:/{copy.seed.model}/1", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "note.txt").read_text() == "what it learned"
    assert copy.place.script("health-check").returncode == 0


def test_a_platform_that_is_not_empty_is_left_alone(local: Platform, archive: Path) -> None:
    done = local.script("restore", archive)
    assert done.returncode == 1
    assert "this platform is not empty" in done.stderr


@pytest.mark.parametrize("damage", ["cut", "altered"])
def test_a_damaged_archive_changes_nothing(
    archive: Path, platform_stack: Stack, tmp_path: Path, damage: str
) -> None:
    content = bytearray(archive.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 0xFF
    (tmp_path / "damaged.tar.gz").write_bytes(content)
    place = empty(platform_stack, tmp_path, "sqlite")
    done = place.script("restore", tmp_path / "damaged.tar.gz")
    assert done.returncode == 1
    assert "the archive is damaged" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_sqlite_goes_there_and_back(platform_stack: Stack, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one = empty(platform_stack, tmp_path / "one", "sqlite")
    with serving(one, tmp_path / "log") as uri:
        seed = sow(uri)
        done = one.script("backup", tmp_path / "kept.tar.gz")
    assert done.returncode == 0, done.stderr
    other = empty(platform_stack, tmp_path / "other", "sqlite")
    done = other.script("restore", tmp_path / "kept.tar.gz")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "other" / "mlflow.db")) as database:
        versions = database.execute("SELECT name, run_id FROM model_versions").fetchall()
    assert versions == [(seed.model, seed.used)]
    files = {
        name: {path.name for path in (tmp_path / name / "artifacts").rglob("*") if path.is_file()}
        for name in ("one", "other")
    }
    assert files["one"] == files["other"] != set()


class TestCleanup:
    """In this order: what one removes, the next does not find."""

    @pytest.fixture
    def root(self, copy: Copy) -> Path:
        return Path(copy.place.environment["MLFLOW_ARTIFACT_ROOT"])

    @pytest.fixture
    def stray(self, copy: Copy, root: Path) -> Iterator[Path]:
        """A run's folder that the database knows nothing of."""
        experiment = copy.client.get_run(copy.seed.used).info.experiment_id
        folder = root / experiment / uuid4().hex / "artifacts"
        folder.mkdir(parents=True)
        (folder / "left.bin").write_bytes(b"x" * 2_000)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    def test_it_only_shows_unless_told_to(self, copy: Copy, stray: Path) -> None:
        done = copy.place.script("cleanup", "--older-than", "365")
        assert done.returncode == 0, done.stderr
        assert copy.seed.unused in done.stdout
        assert copy.seed.used not in done.stdout
        assert f"{stray.parent.name}  2.0 kB" in done.stdout
        assert "Nothing was changed" in done.stdout
        assert copy.client.get_run(copy.seed.unused).info.lifecycle_stage == "active"
        assert stray.exists()

    def test_a_run_that_is_to_be_kept_stays(self, copy: Copy) -> None:
        copy.client.set_tag(copy.seed.unused, "keep", "true")
        assert copy.seed.unused not in copy.place.script("cleanup", "--older-than", "365").stdout
        copy.client.delete_tag(copy.seed.unused, "keep")

    def test_old_runs_are_deleted_and_orphans_removed(
        self, copy: Copy, root: Path, stray: Path
    ) -> None:
        done = copy.place.script("cleanup", "--older-than", "365", "--apply")
        assert done.returncode == 0, done.stdout + done.stderr
        assert copy.client.get_run(copy.seed.unused).info.lifecycle_stage == "deleted"
        assert copy.client.get_run(copy.seed.used).info.lifecycle_stage == "active"
        assert not stray.exists()
        # Deleted, but not for good yet.
        assert list(root.rglob(f"{copy.seed.unused}/artifacts/model/note.txt"))

    def test_a_deleted_run_behind_a_version_holds_the_garbage_back(
        self, copy: Copy, root: Path
    ) -> None:
        copy.client.delete_run(copy.seed.used)
        done = copy.place.script("cleanup", "--older-than", "365", "--trash-days", "0", "--apply")
        assert done.returncode == 1
        assert f"mlflow runs restore --run-id {copy.seed.used}" in done.stdout
        assert list(root.rglob(f"{copy.seed.used}/artifacts/model/note.txt"))
        assert list(root.rglob(f"{copy.seed.unused}/artifacts/model/note.txt"))
        copy.client.restore_run(copy.seed.used)

    def test_what_was_deleted_long_ago_goes_for_good(self, copy: Copy, root: Path) -> None:
        done = copy.place.script("cleanup", "--older-than", "365", "--trash-days", "0", "--apply")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not list(root.rglob(f"{copy.seed.unused}/artifacts/model/note.txt"))
        assert list(root.rglob(f"{copy.seed.used}/artifacts/model/note.txt"))
        engine = create_engine(copy.place.environment["MLFLOW_BACKEND_STORE_URI"])
        with engine.connect() as connection:
            left = connection.execute(
                text("SELECT count(*) FROM runs WHERE run_uuid = :id"), {"id": copy.seed.unused}
            ).scalar_one()
        engine.dispose()
        assert left == 0


def test_without_a_stack_the_scripts_say_how_to_start_one(tmp_path: Path) -> None:
    done = Platform({"FAULTLINE_HOME": str(tmp_path)}).script("backup", tmp_path)
    assert done.returncode == 1
    assert "no stack runs in" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("seed")
def test_a_model_that_is_not_there_is_not_served(local: Platform) -> None:
    done = local.script("serve-model", "nosuch", "production")
    assert done.returncode == 1
    assert "models:/nosuch@production cannot be served" in done.stderr
    assert "registered are: " in done.stderr


def test_one_server_is_never_mixed_with_the_files_of_another(local: Platform) -> None:
    done = local.script("cleanup", MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    assert done.returncode == 1
    assert "MLFLOW_TRACKING_URI is http://127.0.0.1:1, and the stack's server is" in done.stderr


def test_start_finds_the_stack_that_runs(local: Platform, uri: str) -> None:
    done = local.script("start")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"start: MLflow answers at {uri}\n"


def test_start_and_stop_without_docker(stack_home: Path) -> None:
    stack_home.parent.mkdir(parents=True, exist_ok=True)
    place = Platform({"FAULTLINE_HOME": str(stack_home)})
    try:
        done = place.script("start", "--port-base", str(free_row()))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "start: MLflow answers at http://127.0.0.1:" in done.stderr
        assert place.script("health-check").returncode == 0
    finally:
        stopped = place.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert place.script("health-check").returncode == 1


def free_row() -> int:
    """First of eight free ports in a row."""
    return next(
        base
        for base in range(21_000, 31_000, 8)
        if all(is_free(port) for port in asdict(Ports.from_base(base)).values())
    )
