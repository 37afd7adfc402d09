"""Whether a version is good enough for Production: what the gate said, and limits of one's own.

Pure: it is given tags, and asks nobody.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_LIMIT = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")
_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_IDENTITY = ("data_version", "sensors_version", "settings_version")


def shortcomings(tags: Mapping[str, str], limits: Iterable[str]) -> list[str]:
    """Say what speaks against a version; nothing when it is good.

    Parameters
    ----------
    tags
        Of the version, as the trainer has registered it.
    limits
        What its tags have to keep, such as ``silhouette >= 0.3``.

    Raises
    ------
    ValueError
        When a limit cannot be read.
    """
    broken = (_broken(limit, tags) for limit in limits)
    return [said for said in (_gate_refuses(tags), *broken) if said is not None]


def _gate_refuses(tags: Mapping[str, str]) -> str | None:
    decision, reason = tags.get("gate"), tags.get("gate_reason")
    if decision == "passed":
        return None
    said = f"the gate: {decision or 'has not judged it'}"
    return f"{said} ({reason})" if reason else said


def _broken(limit: str, tags: Mapping[str, str]) -> str | None:
    read = _LIMIT.fullmatch(limit)
    if read is None:
        raise ValueError(f"{limit!r} is no limit; write NAME >= NUMBER, with >=, <=, > or <")
    name, relation, bound = read.groups()
    try:
        value = float(tags[name])
    except KeyError:
        return f"{limit.strip()}: the version does not tell its {name}"
    except ValueError:
        return f"{limit.strip()}: its {name} is {tags[name]!r}"
    return None if _HOLDS[relation](value, float(bound)) else f"{limit.strip()}: it is {value:g}"


def standing(
    version: Mapping[str, Any],
    all_versions: Iterable[Mapping[str, Any]],
    *,
    same_data: bool = False,
) -> list[str]:
    """Say why a version is no candidate for Production, however good; nothing when it is one.

    Parameters
    ----------
    version, all_versions
        As the trainer answers with them: number, stage, tags.
    same_data
        Whether it may have learnt from the same readings, in the same way, as an earlier one.
    """
    number, stage = version["version"], version["stage"]
    said = [] if stage in {"Staging", "None"} else [f"it is in {stage}, not in Staging"]
    for other in all_versions:
        if other["stage"] == "Production" and int(other["version"]) > int(number):
            said.append(f"version {other['version']}, which is newer, is in Production")
        earlier = int(other["version"]) < int(number)
        if earlier and not same_data and _learnt_the_same(version, other):
            said.append(f"it learnt from the same readings as version {other['version']}")
    return said


def _learnt_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    mine, theirs = (tuple(each["tags"].get(tag) for tag in _IDENTITY) for each in (one, other))
    return None not in mine and mine == theirs
