"""The semantic version of a model version: how far it is from the one before. Pure.

- major: it judges by other sensors, so what is sent to it has to change;
- minor: the same sensors, but learnt from other rows or with other settings;
- patch: the same sensors, rows and settings, by other code or once more.

The first version of a model is 1.0.0. Versions that have none, because another client of the
registry has made them, are passed over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict

import msgspec

from faultline.detector.config import FitConfig

TAG = "semantic_version"
FIRST = "1.0.0"
_NUMBERS = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})")
_DIGITS = 16


def identity(sensors: tuple[str, ...], data_version: str, config: FitConfig) -> dict[str, str]:
    """The tags by which the next version tells how far it is from this one."""
    return {
        "data_version": data_version,
        "sensors_version": _hash(sensors),
        "settings_version": _hash(asdict(config)),
    }


def following(before: Mapping[str, str] | None, identity: Mapping[str, str]) -> str:
    """The semantic version of what follows.

    Parameters
    ----------
    before
        Tags of the newest version there is; None when there is none.
    identity
        See `identity`.

    Examples
    --------
    >>> now = {"data_version": "d", "sensors_version": "s", "settings_version": "t"}
    >>> following({**now, "semantic_version": "1.4.2"}, now)
    '1.4.3'
    >>> following({**now, "data_version": "c", "semantic_version": "1.4.2"}, now)
    '1.5.0'
    >>> following({**now, "sensors_version": "r", "semantic_version": "1.4.2"}, now)
    '2.0.0'
    >>> following(None, now)
    '1.0.0'
    """
    numbers = _NUMBERS.fullmatch((before or {}).get(TAG, ""))
    if before is None or numbers is None:
        return FIRST
    major, minor, patch = map(int, numbers.groups())
    if before.get("sensors_version") != identity["sensors_version"]:
        return f"{major + 1}.0.0"
    if any(before.get(name) != value for name, value in identity.items()):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:_DIGITS]
