"""Fetches a version's files from wherever MLflow keeps them, by name and within bounds."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import requests
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from faultline.adapters.mlflow.deadline import Deadline, InThisThread
from faultline.errors import FaultlineError, InvalidBundle, NotFound

MAX_FILES = 16
MAX_BYTES = 256 * 1024 * 1024

_NOT_MLFLOWS = frozenset({"http", "https"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def fetch(
    source: str,
    tracking_uri: str,
    to: Path,
    max_bytes: int = MAX_BYTES,
    *,
    deadline: Deadline,
) -> None:
    """Fetch the files of one artifact folder, without subfolders, into the folder `to`.

    Parameters
    ----------
    source
        Artifact URI of the folder.
    max_bytes
        Of all files together.
    deadline
        For all of it.

    Raises
    ------
    Unavailable
        When the deadline has passed.
    NotFound
        When there is nothing.
    InvalidBundle
        When there is more than a bundle has, a file whose size is not told, or a name that leads
        elsewhere, of which nothing is fetched; and when the place is none that can be read here.
    MlflowException, requests.RequestException, OSError
        When MLflow does not answer, or a file cannot be written.
    """
    if urlsplit(source).scheme in _NOT_MLFLOWS:
        # MLflow's client would take its own password there.
        raise InvalidBundle(f"{source}: a version's files are read from MLflow, not by address")

    def download(left: threading.Event) -> None:
        repository = get_artifact_repository(source, tracking_uri=tracking_uri)
        repository.thread_pool = InThisThread()
        found = repository.list_artifacts()
        require_files(source, found, max_bytes)
        if not left.is_set():
            to.mkdir(parents=True, exist_ok=True)
        for entry in found:
            if not left.is_set():
                repository.download_artifacts(entry.path, str(to))  # type: ignore[no-untyped-call]

    try:
        deadline.run(f"download {source}", download)
    except (FaultlineError, MlflowException, requests.RequestException, OSError):
        raise
    except Exception as error:
        # Anyone may register any address: a store whose client is not installed, or none at all.
        raise InvalidBundle(f"{source}: cannot be read here ({error})") from error


def require_files(source: str, found: Sequence[FileInfo], max_bytes: int) -> None:
    """Check a listing; raises as `fetch` does, before anything is fetched."""
    if not found:
        raise NotFound(f"{source}: holds no files; the run's artifacts were deleted")
    if len(found) > MAX_FILES:
        raise InvalidBundle(f"{source}: holds {len(found)} files, at most {MAX_FILES} are fetched")
    total = 0
    for entry in found:
        if entry.is_dir or _NAME.fullmatch(entry.path) is None:
            raise InvalidBundle(f"{source}: {entry.path!r} is no file of a bundle")
        if entry.file_size is None:
            # What is not told cannot be bounded.
            raise InvalidBundle(f"{source}: the store does not tell the size of {entry.path!r}")
        total += entry.file_size
    if total > max_bytes:
        raise InvalidBundle(f"{source}: has {total} bytes, at most {max_bytes} are fetched")
