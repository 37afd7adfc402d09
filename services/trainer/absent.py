"""What is said of a model, a version or a machine type that is not there: which there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from faultline.errors import NotFound, UntrainableHistory
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore
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


def require_known(store: FleetStore, machine_type: str) -> None:
    """Raise `UntrainableHistory`, naming the known types, when no machine is of this one."""
    if store.machines(machine_type):
        return
    types = sorted({machine.machine_type for machine in store.machines()})
    there = f"there are some of: {names(types)}" if types else "send some first; there are none yet"
    raise UntrainableHistory(f"no readings of machine type {machine_type!r}; {there}")


def _numbers(versions: list[str]) -> str:
    """Version numbers in words, from the lowest on.

    >>> _numbers(["1", "2", "3"]), _numbers(["2", "4"]), _numbers([])
    ('1 to 3', '2, 4', 'none')
    """
    if len(versions) > 2 and int(versions[-1]) - int(versions[0]) == len(versions) - 1:
        return f"{versions[0]} to {versions[-1]}"
    return names(versions) or "none"
