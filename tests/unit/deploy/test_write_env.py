"""`make env` on a `.env` that is there."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = "# Passwords\nDB_PASSWORD=\nAPP_API_KEY=\nAPP_FERNET_KEY=\n#PORT=1\n"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example"
    path.write_text(EXAMPLE)
    return path


@pytest.fixture(scope="module")
def write_env() -> ModuleType:
    path = ROOT / "deploy/write_env.py"
    module = ModuleType("write_env")
    exec(compile(path.read_text(), path, "exec"), module.__dict__)
    return module


def _run(example: Path, target: Path) -> str:
    command = [sys.executable, str(ROOT / "deploy/write_env.py"), str(example), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_what_is_missing_or_empty_is_filled_in_and_told(example: Path, tmp_path: Path) -> None:
    target = tmp_path / ".env"
    target.write_text("# mine\nAPP_API_KEY=\nPORT=7\nDB_PASSWORD=p@ss\nOTHER_PASSWORD=")
    target.chmod(0o640)
    told = _run(example, target)
    lines = target.read_text().splitlines()
    assert [lines[0], *lines[2:5]] == ["# mine", "PORT=7", "DB_PASSWORD=p@ss", "OTHER_PASSWORD="]
    assert lines[1].startswith("APP_API_KEY=")
    assert lines[5].startswith("APP_FERNET_KEY=")
    assert len(lines) == 6
    assert all(len(line) > 40 for line in (lines[1], lines[5]))
    assert "added APP_API_KEY, APP_FERNET_KEY;" in told
    assert "p@ss" not in told
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(tmp_path.iterdir()) == [target, example]


@pytest.mark.parametrize(
    "line",
    [
        "DB_PASSWORD=a",
        "export DB_PASSWORD=a",
        "DB_PASSWORD = 'a'",
        "DB_PASSWORD=#a",
        "DB_PASSWORD=\nDB_PASSWORD=a",
    ],
)
def test_what_has_a_value_however_written_is_not_touched(
    example: Path, tmp_path: Path, line: str
) -> None:
    target = tmp_path / ".env"
    text = f"{line}\nAPP_API_KEY=b\nAPP_FERNET_KEY=c"
    target.write_text(text)
    assert "stays as it is" in _run(example, target)
    assert target.read_text() == text


@pytest.mark.parametrize(
    "line", ['DB_PASSWORD=""', 'DB_PASSWORD=""  # later', "export DB_PASSWORD="]
)
def test_quotes_around_nothing_are_empty(example: Path, tmp_path: Path, line: str) -> None:
    target = tmp_path / ".env"
    target.write_text(f"{line}\nAPP_API_KEY=b\nAPP_FERNET_KEY=c\n")
    assert "added DB_PASSWORD;" in _run(example, target)
    assert target.read_text().splitlines()[1:] == ["APP_API_KEY=b", "APP_FERNET_KEY=c"]


def test_a_second_call_changes_nothing(example: Path, tmp_path: Path) -> None:
    target = tmp_path / ".env"
    assert "is written" in _run(example, target)
    text = target.read_text()
    assert "stays as it is" in _run(example, target)
    assert target.read_text() == text


@pytest.mark.parametrize(
    ("cores", "text"),
    [
        (1, "A_CPUS=1\n#B_CPUS=1\n# C_CPUS=2\nA_MEMORY=2\n"),
        (2, "#A_CPUS=2\n#B_CPUS=1\n# C_CPUS=2\nA_MEMORY=2\n"),
    ],
)
def test_no_limit_is_over_the_cores_of_the_host(
    write_env: ModuleType, cores: int, text: str
) -> None:
    example = "#A_CPUS=2\n#B_CPUS=1\n# C_CPUS=2\nA_MEMORY=2\n"
    assert write_env.fitted(example, cores) == text
