"""The shelf of bundles: whole or not at all, with the last good one marked."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.predictor.shelf import BundleShelf, Shelved

NAME = "faultline-pump"


@pytest.fixture
def shelf(tmp_path: Path) -> BundleShelf:
    return BundleShelf(tmp_path / "bundles")


def _put(shelf: BundleShelf, version: str, content: str = "whole") -> Path:
    with shelf.incoming() as folder:
        bundle = folder / "model"
        bundle.mkdir()
        (bundle / "manifest.json").write_text(content)
        return shelf.put(NAME, version, bundle)


def test_an_empty_shelf_has_no_last_good_version(shelf: BundleShelf) -> None:
    assert list(shelf.last_good()) == []


def test_a_bundle_that_was_put_there_is_found(shelf: BundleShelf) -> None:
    place = _put(shelf, "1")
    assert shelf.find(NAME, "1") == place
    assert (place / "manifest.json").read_text() == "whole"


def test_the_version_remembered_is_the_last_good_one(shelf: BundleShelf) -> None:
    place = _put(shelf, "2")
    shelf.remember(NAME, "2")
    assert list(shelf.last_good()) == [Shelved(NAME, "2", place)]


def test_putting_a_version_again_replaces_it(shelf: BundleShelf) -> None:
    _put(shelf, "1", "damaged")
    assert (_put(shelf, "1") / "manifest.json").read_text() == "whole"


def test_the_version_before_the_last_good_one_stays_and_older_ones_go(shelf: BundleShelf) -> None:
    for version in ("1", "2", "3"):
        _put(shelf, version)
        shelf.remember(NAME, version)
    shelf.remember(NAME, "3")
    assert [shelf.find(NAME, version) is not None for version in ("1", "2", "3")] == [
        False,
        True,
        True,
    ]


def test_a_model_that_was_forgotten_has_no_last_good_version(shelf: BundleShelf) -> None:
    _put(shelf, "1")
    shelf.remember(NAME, "1")
    shelf.forget(NAME)
    assert list(shelf.last_good()) == []


def test_a_download_that_was_cut_off_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "bundles" / ".incoming" / "half"
    left.mkdir(parents=True)
    BundleShelf(tmp_path / "bundles")
    assert not left.exists()


def test_a_pointer_that_cannot_be_read_counts_as_none(shelf: BundleShelf, tmp_path: Path) -> None:
    _put(shelf, "1")
    shelf.remember(NAME, "1")
    (tmp_path / "bundles" / NAME / "last-good.json").write_text("{")
    assert list(shelf.last_good()) == []
