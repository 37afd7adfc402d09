"""Write `.env` from `.env.example`, with a secret of its own in every place that wants one.

Usage: ``write_env.py EXAMPLE TARGET``. In a target that is there, secrets that are missing or empty
are filled in, and nothing else is changed. A new one asks for no more cores than this host has.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

_WANTED = re.compile(r"^(\w+_(?:PASSWORD|(?:API|SECRET|FERNET)_KEY))=$", re.MULTILINE)
_CORES = re.compile(r"^#(\w+_CPUS)=(\d+)$", re.MULTILINE)
_BYTES = 24
_FERNET_BYTES = 32
# As compose reads a line. To it, what begins with # is a value.
_ASSIGNED = r"^[ \t]*(?:export[ \t]+)?{}[ \t]*[=:](.*)$"
_EMPTY = re.compile(r"""\s*(?:(?:""|'')\s*(?:#.*)?)?""")


def filled(text: str, names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Give every one of these variables that is missing or empty a random secret.

    Returns
    -------
    tuple
        The text, with what was missing at its end, and the names of those that were filled in.
    """
    added = []
    for name in names:
        places = list(re.finditer(_ASSIGNED.format(name), text, re.MULTILINE))
        line = f"{name}={_secret(name)}"
        if not places:
            gap = "" if not text or text.endswith("\n") else "\n"
            text = f"{text}{gap}{line}\n"
        elif _EMPTY.fullmatch(places[-1][1]):  # the last one counts
            text = text[: places[-1].start()] + line + text[places[-1].end() :]
        else:
            continue
        added.append(name)
    return text, tuple(added)


def fitted(text: str, cores: int) -> str:
    """The text, with every limit of processor cores that is larger than the host set to it."""

    def limit(found: re.Match[str]) -> str:
        return f"{found[1]}={cores}" if int(found[2]) > cores else found[0]

    return _CORES.sub(limit, text)


def _secret(name: str) -> str:
    """Random, and safe in URLs and in quotes."""
    if name.endswith("_FERNET_KEY"):
        # Of the one form that Fernet, with which Airflow encrypts, takes.
        return base64.urlsafe_b64encode(secrets.token_bytes(_FERNET_BYTES)).decode()
    return secrets.token_hex(_BYTES)


def _replace(target: Path, text: str, mode: int) -> None:
    """At once: a half-written file would lose passwords that the volumes know."""
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text, encoding="utf-8")
    new.chmod(mode)
    new.replace(target)


def main(example: str, target: str) -> int:
    """Write the file, a new one for its owner only; returns the exit status."""
    wanted = Path(example).read_text(encoding="utf-8")
    names = _WANTED.findall(wanted)
    file = Path(target).resolve()
    if not file.exists():
        _replace(file, fitted(filled(wanted, names)[0], os.cpu_count() or 1), 0o600)
        sys.stdout.write(f"{target} is written, with new passwords; keep it to yourself\n")
        return 0
    text, added = filled(file.read_text(encoding="utf-8"), names)
    if added:
        _replace(file, text, file.stat().st_mode & 0o777)
        sys.stdout.write(f"{target}: added {', '.join(added)}; all else stays as it is\n")
    else:
        sys.stdout.write(f"{target} has all passwords and stays as it is\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
