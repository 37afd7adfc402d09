"""MLflow's accounts: on PostgreSQL and on SQLite, with secrets in variables and in files."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import httpx
import yaml

from .conftest import FOLDER, Platform, get


def _post(url: str, account: tuple[str, str], **fields: str) -> httpx.Response:
    return httpx.post(url, json=fields, auth=account, trust_env=False, timeout=30)


def test_without_an_admin_password_accounts_are_refused(tmp_path: Path) -> None:
    place = Platform(tmp_path, MLFLOW_BACKEND_STORE_URI="sqlite:////tmp/x.db", MLFLOW_AUTH="basic")
    try:
        done = place.compose("run", "--rm", "--no-deps", "-T", "mlflow", works=False)
        assert done.returncode == 1
        assert "there is no default" in done.stderr
    finally:
        place.remove()


def _with_secrets(folder: Path, **secrets_: str) -> str:
    """Write an override that gives the server these variables as files; returns COMPOSE_FILE."""
    for name, value in secrets_.items():
        (folder / name).write_text(f"{value}\n")
    override = folder / "override.yml"
    override.write_text(
        yaml.safe_dump(
            {
                "services": {
                    "mlflow": {
                        "environment": {
                            **dict.fromkeys(secrets_, ""),
                            **{f"{name}_FILE": f"/run/secrets/{name}" for name in secrets_},
                        },
                        "secrets": list(secrets_),
                    }
                },
                "secrets": {name: {"file": str(folder / name)} for name in secrets_},
            }
        )
    )
    return f"{FOLDER / 'docker-compose.yml'}:{override}"


def test_accounts_on_postgresql_with_secrets_in_files(tmp_path: Path) -> None:
    admin = ("admin", secrets.token_hex(12))
    database_password = secrets.token_hex(8) + "@:/%"
    place = Platform(
        tmp_path,
        MLFLOW_AUTH="basic",
        POSTGRES_PASSWORD=database_password,
        COMPOSE_FILE=_with_secrets(
            tmp_path,
            POSTGRES_PASSWORD=database_password,
            MLFLOW_AUTH_ADMIN_PASSWORD=admin[1],
            MLFLOW_FLASK_SERVER_SECRET_KEY=secrets.token_hex(16),
        ),
    )
    user = ("ada", secrets.token_hex(12))
    api = f"{place.uri}/api/2.0/mlflow"
    try:
        place.script("start")
        url = f"{api}/experiments/search?max_results=1"
        assert get(url).status_code == 401
        assert get(url, auth=("admin", "wrong")).status_code == 401
        assert get(url, auth=admin).status_code == 200
        assert place.script("health-check").returncode == 0

        made = _post(f"{api}/users/create", admin, username=user[0], password=user[1])
        assert made.status_code == 200, made.text
        assert (
            _post(f"{api}/users/create", user, username="b", password="c" * 12).status_code == 403
        )
        # They are in PostgreSQL: a server that is made anew knows them.
        psql = ("exec", "-T", "postgres", "psql", "-U", "mlflow", "-d", "mlflow", "-Atc")
        found = place.compose(*psql, "SELECT username FROM users ORDER BY username").stdout.split()
        assert found == ["ada", "admin"]
        place.compose("up", "--detach", "--wait", "--force-recreate", "--no-deps", "mlflow")
        assert get(url, auth=user).status_code == 200
        # None of them is seen from outside the container's files.
        seen = place.compose("config", "--format", "json").stdout
        told = json.loads(seen)["services"]["mlflow"]["environment"]
        assert not {admin[1], database_password} & set(told.values())
        assert admin[1] not in place.logs()
        # The accounts' tables are upgraded with the others.
        assert "schema " in place.script("upgrade").stdout
        assert get(url, auth=user).status_code == 200
    finally:
        place.remove()


def test_accounts_on_sqlite_behind_gunicorn(tmp_path: Path) -> None:
    password = secrets.token_hex(12)
    place = Platform(
        tmp_path,
        MLFLOW_BACKEND_STORE_URI="sqlite:////mlflow/mlflow.db",
        MLFLOW_AUTH="basic",
        MLFLOW_AUTH_ADMIN_PASSWORD=password,
        MLFLOW_FLASK_SERVER_SECRET_KEY=secrets.token_hex(16),
        MLFLOW_HTTP_SERVER="gunicorn",
        MLFLOW_WORKERS="1",
    )
    url = f"{place.uri}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        place.script("start")
        assert place.compose("ps", "--services").stdout.split() == ["mlflow"]
        assert get(url).status_code == 401
        assert get(url, auth=("admin", password)).status_code == 200
        assert place.script("health-check").returncode == 0
        assert "gunicorn" in place.logs()
    finally:
        place.remove()
