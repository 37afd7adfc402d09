"""The demo's model: trained once the simulator's history is stored, and only if there is none yet.

Usage: ``first_model.py MACHINE_TYPE MACHINES READINGS TRAINER``, where each of so many machines has
so many readings of history, and TRAINER is its URL. The database is ``FAULTLINE_DATABASE_URL``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence

from faultline.adapters.postgres import PostgresDatabase
from faultline.client import TrainerClient
from faultline.errors import FaultlineError, NotFound, Unavailable
from faultline.events import model_name
from faultline.ports.stores import FleetStore
from faultline.settings import DatabaseSettings

_LOOK_EVERY_S = 1.0


def has_model(trainer: TrainerClient, machine_type: str) -> bool:
    """Whether any version is registered, in whatever stage."""
    try:
        return bool(trainer.versions(model_name(machine_type)))
    except NotFound:
        return False


def is_stored(store: FleetStore, machine_type: str, machines: int, readings: int) -> bool:
    """Whether so many machines have so many readings each; not while the database is down."""
    try:
        known = store.machines(machine_type)
    except Unavailable:
        return False
    return sum(one.readings >= readings for one in known) >= machines


def ready_to_train(
    trainer: TrainerClient, machine_type: str, stored: Callable[[], bool], pause: Callable[[], None]
) -> bool:
    """Wait for the history; False, at once, where the type has a model already."""
    if has_model(trainer, machine_type):
        return False
    while not stored():
        pause()
    return True


def main(arguments: Sequence[str]) -> int:
    """Become `faultline train`, or say that there is nothing to do; returns the exit status."""
    machine_type, machines, readings, url = arguments
    database = PostgresDatabase(DatabaseSettings().database_url)
    store = database.fleet_store()
    try:
        with TrainerClient(url) as trainer:
            wanted = ready_to_train(
                trainer,
                machine_type,
                lambda: is_stored(store, machine_type, int(machines), int(readings)),
                lambda: time.sleep(_LOOK_EVERY_S),
            )
    except FaultlineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        database.dispose()
    if wanted:
        train = ("train", "--machine-type", machine_type, "--trainer", url, "--wait")
        os.execv(sys.executable, [sys.executable, "-m", "faultline", *train])  # noqa: S606 - fixed
    sys.stdout.write(f"{model_name(machine_type)} has a version already: nothing to do\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
