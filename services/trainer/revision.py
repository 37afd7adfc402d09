"""The commit of the source tree that this code runs from, for a version's lineage."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE_TREE = Path(__file__).parents[2]
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


def git_commit(tree: Path = SOURCE_TREE) -> str | None:
    """The commit that is checked out in a source tree; None when it is no checkout.

    Only the tree itself is looked at: a repository further up may be anyone's, as where the
    package is installed into the environment of another project.
    """
    git = tree / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return _checked(head)
        reference = head.removeprefix("ref: ")
        loose = git / reference
        if loose.is_file():
            return _checked(loose.read_text(encoding="utf-8").strip())
        for line in (git / "packed-refs").read_text(encoding="utf-8").splitlines():
            commit, _, name = line.partition(" ")
            if name == reference:
                return _checked(commit)
    except (OSError, UnicodeDecodeError):
        return None
    return None


def _checked(commit: str) -> str | None:
    return commit if _COMMIT.fullmatch(commit) else None
