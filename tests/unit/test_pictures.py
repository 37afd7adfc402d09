"""The pictures of the method are drawn by the code that they explain."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"!\[[^\]]+\]\(pictures/([\w-]+)\.svg\)")
LARGEST_BYTES = 100_000


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(pictures: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("drawn") / "pictures"
    pictures.draw(folder)
    return folder


def shown() -> list[str]:
    return SHOWN.findall((ROOT / "docs" / "detector.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", shown())
def test_a_picture_that_the_page_shows_is_drawn_and_small(drawn: Path, name: str) -> None:
    picture = drawn / f"{name}.svg"
    lines = ET.parse(picture).getroot().iter("{http://www.w3.org/2000/svg}path")
    assert sum(1 for _ in lines) > 10
    assert picture.stat().st_size < LARGEST_BYTES


def test_the_page_shows_every_picture_that_is_drawn_and_kept(drawn: Path) -> None:
    kept = {picture.name for picture in (ROOT / "docs" / "pictures").iterdir()}
    assert {f"{name}.svg" for name in shown()} == kept == {one.name for one in drawn.iterdir()}
