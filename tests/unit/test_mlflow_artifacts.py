"""Which listings of a version's files are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.entities import FileInfo

from faultline.adapters.mlflow.artifacts import MAX_BYTES, MAX_FILES, fetch, require_files
from faultline.adapters.mlflow.deadline import Deadline
from faultline.errors import InvalidBundle, NotFound


def file(path: str, size: int | None = 1) -> FileInfo:
    return FileInfo(path, is_dir=False, file_size=size)


def test_named_files_of_known_size_are_a_bundle() -> None:
    require_files(
        "s3://b/model", [file("manifest.json"), file("arrays.npz", MAX_BYTES - 1)], MAX_BYTES
    )


def test_nothing_is_not_found() -> None:
    with pytest.raises(NotFound):
        require_files("s3://b/model", [], MAX_BYTES)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([file("a.json"), file("arrays.npz", None)], "does not tell the size of 'arrays.npz'"),
        ([file("arrays.npz", MAX_BYTES + 1)], "bytes, at most"),
        ([file(f"a{number}") for number in range(MAX_FILES + 1)], "files, at most"),
        ([file("../a")], "no file of a bundle"),
    ],
)
def test_what_is_beyond_a_bundle_is_refused(found: list[FileInfo], why: str) -> None:
    with pytest.raises(InvalidBundle, match=why):
        require_files("s3://b/model", found, MAX_BYTES)


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/model",
        "gs://bucket/model",
        "sftp://host/model",
        "http://host/model",
        "https://host/api/2.0/mlflow-artifacts/artifacts/model",
    ],
)
def test_files_that_lie_where_they_cannot_be_read_are_no_bundle(
    source: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidBundle, match=source):
        fetch(source, "http://127.0.0.1:1", tmp_path, deadline=Deadline(60.0))
