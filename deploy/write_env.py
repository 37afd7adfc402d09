"""Write `.env` from `.env.example`, with a secret of its own in every place that wants one.

Usage: ``write_env.py EXAMPLE TARGET``. An existing target is left as it is.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import sys
from pathlib import Path

_WANTED = re.compile(r"^(\w+_(?:PASSWORD|API_KEY|SECRET_KEY))=$", re.MULTILINE)
_BYTES = 24
# Of the one form that Fernet, with which Airflow encrypts, takes.
_FERNET_WANTED = re.compile(r"^(\w+_FERNET_KEY)=$", re.MULTILINE)
_FERNET_BYTES = 32


def filled(example: str) -> str:
    """Give every empty password and key of an example a random one, safe in URLs and in quotes."""
    text = _WANTED.sub(lambda line: f"{line[1]}={secrets.token_hex(_BYTES)}", example)
    return _FERNET_WANTED.sub(lambda line: f"{line[1]}={_fernet_key()}", text)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_FERNET_BYTES)).decode()


def main(example: str, target: str) -> int:
    """Write the file, for its owner only; returns the exit status."""
    text = filled(Path(example).read_text(encoding="utf-8"))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stderr.write(
            f"{target} is there already and stays as it is: the volumes know its passwords\n"
        )
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    sys.stdout.write(f"{target} is written, with new passwords; keep it to yourself\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
