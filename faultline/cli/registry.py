"""The registry that a command asks: the one that is named, else that of the running stack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from faultline.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from faultline.adapters.mlflow import MlflowRegistry


@contextmanager
def open_registry(named: str | None, home: Path | None) -> Iterator[MlflowRegistry]:
    """Tell on stderr which registry it is, and say it in plain words when it does not answer.

    Parameters
    ----------
    named
        Its URL; None for ``MLFLOW_TRACKING_URI``, else that of the stack in `home`.

    Raises
    ------
    NotFound
        When no stack runs in the home that was named.
    Unavailable
        When it does not answer.
    """
    from faultline.adapters.mlflow import MlflowRegistry  # noqa: PLC0415 - a quick --help
    from faultline.settings import RegistrySettings  # noqa: PLC0415

    settings = RegistrySettings()
    uri = named or _of_stack(home) or settings.mlflow_tracking_uri
    typer.echo(f"registry: {uri}", err=True)
    try:
        yield MlflowRegistry(settings.model_copy(update={"mlflow_tracking_uri": uri}))
    except Unavailable as error:
        if "Max retries exceeded" not in str(error):
            raise
        raise Unavailable(
            f"no MLflow at {uri} (start one: make up; or name another: --registry URL, "
            "MLFLOW_TRACKING_URI, or --home FOLDER of a running stack)"
        ) from error


def database_url(home: Path | None) -> str:
    """Where the readings are: ``FAULTLINE_DATABASE_URL``, else the stack's, else the default."""
    from faultline.settings import DatabaseSettings  # noqa: PLC0415 - a quick --help

    return _of_stack(home, "database_url") or DatabaseSettings().database_url


def _of_stack(home: Path | None, what: str = "mlflow") -> str | None:
    """Its address; None where no stack runs, and none was named."""
    from faultline.local.home import HOME_VARIABLE, load_endpoints  # noqa: PLC0415

    try:
        return str(getattr(load_endpoints(home, needs=(what,)), what))
    except NotFound:
        if home is not None or os.environ.get(HOME_VARIABLE):
            raise
        return None
