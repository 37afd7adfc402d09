from pathlib import Path

import pytest

from services.trainer.revision import git_commit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def git(tmp_path: Path) -> Path:
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return tmp_path / ".git"


def test_the_commit_of_a_branch_is_found(git: Path) -> None:
    (git / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")
    assert git_commit(git.parent) == COMMIT


def test_the_commit_of_a_packed_branch_is_found(git: Path) -> None:
    (git / "packed-refs").write_text(
        f"# pack-refs with: peeled\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n"
    )
    assert git_commit(git.parent) == COMMIT


def test_a_detached_commit_is_found(git: Path) -> None:
    (git / "HEAD").write_text(f"{COMMIT}\n")
    assert git_commit(git.parent) == COMMIT


def test_an_empty_repository_has_none(git: Path) -> None:
    assert git_commit(git.parent) is None


def test_a_folder_that_is_no_checkout_has_none(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None


def test_a_repository_further_up_is_not_ours(git: Path) -> None:
    (git / "HEAD").write_text(f"{COMMIT}\n")
    inner = git.parent / "site-packages"
    inner.mkdir()
    assert git_commit(inner) is None


def test_what_is_no_commit_is_none(git: Path) -> None:
    (git / "refs" / "heads" / "main").write_text("not a commit\n")
    assert git_commit(git.parent) is None
