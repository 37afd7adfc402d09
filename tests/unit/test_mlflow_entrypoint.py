"""What the entry point of MLflow's image makes of the environment, with an `mlflow` that tells."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
_TELLS = '#!/bin/sh\necho "$0 $*"\nenv\n'
# Made of the parts: what is special in a URL is encoded, and once more for the file.
_PASSWORD = "p@ss:/%"
_ENCODED = "p%40ss%3A%2F%25"


class Image:
    """A copy of the entry point, beside what tells how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.accounts = folder / "accounts.ini"
        shutil.copy(REPOSITORY / "mlflow/entrypoint.sh", folder)
        (folder / "tools").mkdir()
        (folder / "tools/upgrade.py").write_text("")
        for program in ("bin/mlflow", "scripts/health-check.sh"):
            path = folder / program
            path.parent.mkdir()
            path.write_text(_TELLS)
            path.chmod(0o755)

    def secret(self, name: str, value: str) -> str:
        """Path of a file with a secret, as it is mounted: with a line's end."""
        path = self.folder / name
        path.write_text(f"{value}\n")
        return str(path)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "entrypoint.sh", *command],
            env={
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "MLFLOW_ARTIFACT_ROOT": "/mlflow/artifacts",
                "MLFLOW_AUTH_CONFIG_PATH": str(self.accounts),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def _environment(told: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def test_secrets_in_files_are_the_servers(image: Image) -> None:
    done = image.run(
        MLFLOW_AUTH="basic",
        POSTGRES_PASSWORD_FILE=image.secret("database", _PASSWORD),
        MLFLOW_AUTH_ADMIN_PASSWORD_FILE=image.secret("admin", "of the admin"),
        MLFLOW_FLASK_SERVER_SECRET_KEY_FILE=image.secret("key", "of sessions"),
    )
    assert done.returncode == 0, done.stderr
    assert "--app-name basic-auth" in done.stdout.splitlines()[0]
    seen = _environment(done.stdout)
    url = f"postgresql+psycopg2://mlflow:{_ENCODED}@postgres:5432/mlflow"
    assert seen["MLFLOW_BACKEND_STORE_URI"] == url
    assert seen["MLFLOW_AUTH_ADMIN_PASSWORD"] == "of the admin"
    assert seen["MLFLOW_FLASK_SERVER_SECRET_KEY"] == "of sessions"
    accounts = image.accounts.read_text().splitlines()
    assert f"database_uri = {url.replace('%', '%%')}" in accounts
    assert image.accounts.stat().st_mode & 0o077 == 0


def test_accounts_may_be_elsewhere(image: Image) -> None:
    image.run(
        MLFLOW_AUTH="basic",
        MLFLOW_BACKEND_STORE_URI="sqlite:////mlflow/mlflow.db",
        MLFLOW_AUTH_DATABASE_URI="postgresql+psycopg2://a:b@c/accounts",
        MLFLOW_AUTH_ADMIN_PASSWORD="x",
        MLFLOW_FLASK_SERVER_SECRET_KEY="y",
    )
    told = image.accounts.read_text()
    assert "database_uri = postgresql+psycopg2://a:b@c/accounts\n" in told


def test_the_health_check_comes_with_the_account_of_a_file(image: Image) -> None:
    done = image.run(
        "health-check",
        POSTGRES_PASSWORD="x",
        MLFLOW_AUTH_ADMIN_PASSWORD_FILE=image.secret("admin", "of the admin"),
    )
    assert _environment(done.stdout)["MLFLOW_AUTH_ADMIN_PASSWORD"] == "of the admin"


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"POSTGRES_PASSWORD": "x"}, "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are set"),
        ({"POSTGRES_PASSWORD_FILE": "/nowhere"}, "/nowhere cannot be read"),
    ],
)
def test_a_secret_that_is_not_clear_starts_nothing(
    image: Image, variables: dict[str, str], why: str
) -> None:
    given = {"POSTGRES_PASSWORD_FILE": image.secret("database", "x"), **variables}
    done = image.run(**given)
    assert done.returncode == 1
    assert why in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "missing", ["MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"]
)
def test_accounts_without_a_secret_start_nothing(image: Image, missing: str) -> None:
    given = {"MLFLOW_AUTH_ADMIN_PASSWORD": "x", "MLFLOW_FLASK_SERVER_SECRET_KEY": "y"}
    del given[missing]
    done = image.run(MLFLOW_AUTH="basic", MLFLOW_BACKEND_STORE_URI="sqlite:////x.db", **given)
    assert done.returncode == 1
    assert missing in done.stderr
