"""`faultline run`: one service alone, its settings as options. It becomes the service's process.

It knows the services by the names of their modules and imports nothing of them but the settings,
as the help asks for them.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import typer
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from faultline.cli.environment import misread, settings_class, unknown
from faultline.cli.lazy import LazyCommand, LazyGroup
from faultline.settings import Declared, declared


class Service(NamedTuple):
    """A service that can be run.

    Attributes
    ----------
    command
        What follows `python -m`.
    settings
        `module:name` of the class.
    about
        Its line in the list of services.
    """

    command: tuple[str, ...]
    settings: str
    about: str


SERVICES: Mapping[str, Service] = {
    "gateway": Service(
        ("services.ingest", "gateway"),
        "services.ingest.settings:GatewaySettings",
        "Takes readings over HTTP.",
    ),
    "recorder": Service(
        ("services.ingest", "recorder"),
        "services.ingest.settings:RecorderSettings",
        "Stores what is on the topics.",
    ),
    "bridge": Service(
        ("services.ingest", "bridge"),
        "services.ingest.bridge.settings:BridgeSettings",
        "Takes readings from an MQTT broker.",
    ),
    "trainer": Service(
        ("services.trainer",),
        "services.trainer.settings:TrainerSettings",
        "Trains, compares and promotes versions.",
    ),
    "predictor": Service(
        ("services.predictor",),
        "services.predictor.settings:PredictorSettings",
        "Judges readings as they come.",
    ),
}

_SHORT = {
    "kafka_bootstrap_servers": "--kafka",
    "database_url": "--database",
    "mlflow_tracking_uri": "--mlflow",
    "http_host": "--host",
    "predictor_bundles": "--bundle",
}


def option_names(service: str, field: str, variable: str) -> tuple[str, ...]:
    """A setting's names on the command line, the full one first.

    Examples
    --------
    >>> option_names("gateway", "gateway_port", "FAULTLINE_GATEWAY_PORT")
    ('--gateway-port', '--port')
    >>> option_names("trainer", "mlflow_tracking_uri", "MLFLOW_TRACKING_URI")
    ('--mlflow-tracking-uri', '--mlflow')
    """
    full = "--" + variable.removeprefix("FAULTLINE_").lower().replace("_", "-")
    short = "--port" if field == f"{service}_port" else _SHORT.get(field)
    return (full, short) if short else (full,)


class ServiceCommand(LazyCommand):
    """A service; its options are read from its settings when they are needed."""

    def load(self) -> Any:
        """Import the service's settings and make a command of them."""
        name = str(self.name)
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(_starter(name, SERVICES[name]))
        return typer.main.get_command(alone)


class _Services(LazyGroup):
    """The services."""

    lazy = {  # noqa: RUF012 - as in the base
        name: ServiceCommand(name, service.settings, service.about)
        for name, service in SERVICES.items()
    }


app = typer.Typer(cls=_Services, no_args_is_help=True, add_completion=False)


@app.callback()
def _root() -> None:
    """Run one service alone, in this process, until Ctrl-C or SIGTERM.

    Every setting is an option; what is not given is read from the environment.
    """


def _starter(name: str, service: Service) -> Callable[..., None]:
    """A function whose signature has the settings of a service; Typer makes options of it."""
    settings = settings_class(service.settings)
    own = frozenset(settings.__annotations__)
    options = sorted(declared(settings), key=lambda option: option.field not in own)
    annotations = {
        option.field: _annotation(
            name, option, "The service's own" if option.field in own else "Shared by the services"
        )
        for option in options
    }

    def start(**given: str | None) -> None:
        values = {
            option.variable: value
            for option in options
            if (value := given[option.field]) is not None
        }
        os.environ.update(values)
        _check(name, settings, values)
        _tell_unknown(settings)
        # The service takes this process over: signals reach it, and its exit status is its own.
        os.execv(sys.executable, [sys.executable, "-m", *service.command])  # noqa: S606

    start.__doc__ = (
        f"{service.about} Runs until Ctrl-C or SIGTERM.\n\n"
        "Give passwords in the environment: others on the machine can read a command line."
    )
    start.__annotations__ = annotations
    start.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for field, kind in annotations.items()
        ]
    )
    return start


def _annotation(service: str, option: Declared, panel: str) -> Any:
    default = option.info.default
    shown = "none" if default is None or default is PydanticUndefined else str(default)
    return Annotated[
        str | None,
        typer.Option(
            *option_names(service, option.field, option.variable),
            metavar="VALUE",
            help=option.info.description,
            show_default=shown,
            rich_help_panel=panel,
        ),
    ]


def _check(service: str, settings: type[BaseSettings], given: Collection[str]) -> None:
    """Raise `typer.BadParameter` where the service could not read its settings.

    Parameters
    ----------
    given
        Variables that were given as options: what is wrong with them is told by the option's name.
    """
    found = next(misread(settings), None)
    if found is None:
        return
    place = "the settings together"
    if found.setting is not None:
        variable = found.setting.variable
        names = option_names(service, found.setting.field, variable)
        place = names[0] if variable in given else variable
    raise typer.BadParameter(found.told, param_hint=place)


def _tell_unknown(settings: type[BaseSettings]) -> None:
    """Say on stderr which variables nothing reads."""
    if not any(unknown(os.environ, [settings])):
        # To import the settings of the other services takes time.
        return
    # An image of one service has not the others', to tell a misspelt setting from theirs.
    with suppress(ModuleNotFoundError):
        every = [settings_class(service.settings) for service in SERVICES.values()]
        for sentence in unknown(os.environ, every):
            typer.echo(f"faultline: {sentence}", err=True)
