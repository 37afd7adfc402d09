"""Looks at the server, the database, the artifact store and the disk, and says what is wrong."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from mlflow.store.db.utils import _get_latest_schema_revision
from place import Place, counts, fail, here, readable, schema_revision
from sqlalchemy.exc import SQLAlchemyError

_WAIT_S = 15


class NotWell(Exception):
    """What is wrong, and what to do about it."""


def check_server(place: Place) -> str:
    """Ask for its health, its version, and one thing that needs an account where there are any."""
    try:
        _request("GET", f"{place.server}/health")
        version = _request("GET", f"{place.server}/version").text
        _request("GET", f"{place.server}/api/2.0/mlflow/experiments/search?max_results=1")
    except requests.ConnectionError as error:
        raise NotWell(f"nothing answers at {place.server}: start it, see its log") from error
    except requests.Timeout as error:
        raise NotWell(f"{place.server} does not answer in {_WAIT_S} s: see its log") from error
    return f"MLflow {version} answers at {place.server}"


def check_database(place: Place) -> str:
    """Connect, and compare the tables' revision with the one that this MLflow expects."""
    if place.sqlite is not None and not place.sqlite.exists():
        raise NotWell(f"{place.sqlite} is not there: a server makes it at its first start")
    engine = place.engine()
    try:
        revision, rows = schema_revision(engine), counts(engine)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise NotWell(f"{place.backend.render_as_string()}: {reason}") from error
    finally:
        engine.dispose()
    expected = _get_latest_schema_revision()  # type: ignore[no-untyped-call] # MLflow's own
    if revision is None:
        raise NotWell("it has no tables yet: start the server, or run upgrade.sh")
    if revision != expected:
        raise NotWell(f"its tables are of revision {revision}, not {expected}: run upgrade.sh")
    return (
        f"{place.backend.get_backend_name()}, {rows['runs']} runs, "
        f"{rows['model_versions']} model versions"
    )


def check_artifacts(place: Place) -> str:
    """Write, read and delete a file through the server, as clients do."""
    name = f"health-check-{uuid.uuid4().hex}"
    url = f"{place.server}/api/2.0/mlflow-artifacts/artifacts/{name}"
    content = name.encode()
    try:
        _request("PUT", url, data=content)
        if _request("GET", url).content != content:
            raise NotWell(f"{place.artifacts} does not give back what was written")
        _request("DELETE", url)
    except requests.RequestException as error:
        raise NotWell(f"{place.artifacts} cannot be used through the server: {error}") from error
    return f"{place.artifacts} takes, gives and deletes a file"


def check_disk(place: Place, min_free_bytes: float) -> str:
    """Compare the free space of the local folders with the least that is wanted."""
    database = place.sqlite.parent if place.sqlite is not None else None
    folders = {folder for folder in (place.folder, database) if folder and folder.exists()}
    if not folders:
        return "nothing is kept on this one"
    told = []
    for folder in sorted(folders):
        usage = shutil.disk_usage(folder)
        told.append(f"{readable(usage.free)} of {readable(usage.total)} free at {folder}")
        if usage.free < min_free_bytes:
            raise NotWell(f"{told[-1]}, less than {readable(min_free_bytes)}: see cleanup.sh")
    return "; ".join(told)


def _request(method: str, url: str, data: bytes | None = None) -> requests.Response:
    user, password = (
        os.environ.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD")
    )
    # Our own server is not behind a proxy for the outside.
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(
            method, url, data=data, timeout=_WAIT_S, auth=(user, password) if user else None
        )
    if answer.status_code in (401, 403):
        raise NotWell(
            f"{urlsplit(url).path} answers {answer.status_code}: {answer.text.strip()[:120]}; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the allowed hosts"
        )
    if not answer.ok:
        raise NotWell(f"{urlsplit(url).path} answers {answer.status_code}: {answer.text[:200]}")
    return answer


def main() -> None:
    """Print one line for each check; end with 1 when one failed."""
    parser = argparse.ArgumentParser(prog="health-check.sh")
    parser.add_argument("--min-free-gb", type=float, default=1.0)
    options = parser.parse_args()
    if options.min_free_gb < 0:
        fail("--min-free-gb cannot be negative")
    place = here()
    checks: dict[str, Callable[[], str]] = {
        "server": lambda: check_server(place),
        "database": lambda: check_database(place),
        "artifact store": lambda: check_artifacts(place),
        "disk": lambda: check_disk(place, options.min_free_gb * 1e9),
    }
    well = True
    for name, check in checks.items():
        try:
            print(f"ok    {name:<14} {check()}")
        except NotWell as error:
            well = False
            print(f"FAIL  {name:<14} {error}")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
