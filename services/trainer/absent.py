"""What is said of a model or a version that is not there: which there are instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from faultline.errors import NotFound
from faultline.ports.registry import ModelRegistry
from services.trainer.wording import names


@contextmanager
def telling_which(registry: ModelRegistry, name: str, version: str | None = None) -> Iterator[None]:
    """Let a `NotFound` say which models, or which versions, there are.

    Any other that is raised within, of a file say, stays as it is.
    """
    try:
        yield
    except NotFound as error:
        known = registry.models()
        if name not in known:
            there = f"there are: {names(known)}" if known else "none is registered yet"
            raise NotFound(f"there is no model {name}; {there}") from error
        found = [one.version for one in reversed(registry.versions(name))]
        if version is None or version in found:
            raise
        raise NotFound(f"{name} has no version {version}; it has {_numbers(found)}") from error


def _numbers(versions: list[str]) -> str:
    """Version numbers in words, from the lowest on.

    >>> _numbers(["1", "2", "3"]), _numbers(["2", "4"]), _numbers([])
    ('1 to 3', '2, 4', 'none')
    """
    if len(versions) > 2 and int(versions[-1]) - int(versions[0]) == len(versions) - 1:
        return f"{versions[0]} to {versions[-1]}"
    return names(versions) or "none"
