"""`faultline reproduce`: makes a registered version again, and says whether it is the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faultline.cli import offline
from faultline.cli.offline import JsonOption, RegistryOption
from faultline.cli.options import HomeOption
from faultline.cli.registry import database_url, open_registry
from faultline.offline.wording import count
from faultline.readings import format_timestamp

if TYPE_CHECKING:
    from faultline.left_out import LeftOut
    from faultline.ports.stores import FleetStore
    from faultline.reproduction import Reproduction


def reproduce(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as faultline-pump.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its number.")],
    registry: RegistryOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit a registered version again, to the rows and by the settings it was trained with.

    The rows come from the version's snapshot in MLflow or, where it has them by
    reference, from the database (FAULTLINE_DATABASE_URL, else that of the running
    stack); their hash must be the recorded one. Every array of the model is then
    compared bit for bit.

    Exit status: 0 when all are equal, else 1.
    """
    from faultline.reproduction import reproduce as make_again  # noqa: PLC0415 - a quick --help

    with open_registry(registry, home) as opened:
        made = make_again(opened, name, version, lambda: _store(home))
    if as_json:
        offline.print_json(document(name, version, made))
    else:
        _tell(name, version, made)
    if not made.equal:
        raise typer.Exit(1)


def _store(home: Path | None) -> FleetStore:
    from faultline.adapters.postgres import PostgresDatabase  # noqa: PLC0415 - seldom needed

    return PostgresDatabase(database_url(home)).fleet_store()


def document(name: str, version: str, made: Reproduction) -> dict[str, Any]:
    """What came of it, as it is printed with `--json`."""
    return {
        "model": name,
        "version": version,
        "equal": made.equal,
        "arrays": {
            array: {
                "equal": one.equal,
                "largest_difference": 0.0 if one.equal else one.largest_difference,
            }
            for array, one in made.arrays.items()
        },
        "parameters": _pairs(made.parameters, "again"),
        "environment": _pairs(made.environment, "here"),
        "data_version": made.recipe.data_version,
        "rows": sum(made.recipe.machines.values()),
        "rows_from": "snapshot" if made.recipe.stored == "rows" else "database",
        "left_out": [_left_out(period) for period in made.recipe.left_out],
    }


def _left_out(period: LeftOut) -> dict[str, Any]:
    return {
        "cause": period.cause.value,
        "machine_id": period.machine_id,
        "start": format_timestamp(period.start_ms),
        "end": None if period.end_ms is None else format_timestamp(period.end_ms),
        "what": period.what,
        "readings": period.readings,
    }


def _pairs(differing: Any, second: str) -> dict[str, dict[str, Any]]:
    return {
        name: {"recorded": recorded, second: other} for name, (recorded, other) in differing.items()
    }


def _tell(name: str, version: str, made: Reproduction) -> None:
    recipe = made.recipe
    typer.echo(
        f"{name} version {version}: fitted again to {sum(recipe.machines.values()):,} readings of "
        f"{count(len(recipe.machines), 'machine')}, data version {recipe.data_version[:12]}"
    )
    unequal = {array: one for array, one in made.arrays.items() if not one.equal}
    if made.equal:
        typer.echo(f"all {len(made.arrays)} arrays and the parameters are equal, bit for bit")
    for array, one in unequal.items():
        how = (
            "another shape, or only one of both has it"
            if one.largest_difference is None
            else f"differs by {one.largest_difference:.3g} at most"
        )
        typer.echo(f"not equal: {array} ({how})")
    for parameter, (recorded, again) in made.parameters.items():
        typer.echo(f"not equal: {parameter} ({recorded} registered, {again} again)")
    for part, (recorded, here) in made.environment.items():
        typer.echo(f"environment: {part} was {recorded or 'absent'}, here it is {here or 'absent'}")
