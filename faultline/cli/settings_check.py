"""What must be right in the environment before `faultline up` starts anything."""

from __future__ import annotations

import os
from collections.abc import Iterator

import typer

from faultline.cli.environment import misread, settings_class, unknown
from faultline.cli.run import SERVICES
from faultline.errors import Conflict
from faultline.local import services
from faultline.local.home import Home
from faultline.local.ports import Ports


def check_settings(home: Home, ports: Ports) -> None:
    """Tell on stderr of variables that nothing reads.

    Raises
    ------
    Conflict
        Where a service of the stack could not read its settings; names their variables.
    """
    every = [settings_class(service.settings) for service in SERVICES.values()]
    for sentence in unknown(os.environ, every):
        typer.echo(f"faultline: {sentence}", err=True)
    # What the services share is told once.
    wrong = dict.fromkeys(_misread(services.set_variables(home, ports)))
    if wrong:
        raise Conflict(f"nothing was started: {'; '.join(wrong)}")


def _misread(set_by_stack: frozenset[str]) -> Iterator[str]:
    for name in services.SERVICES:
        for found in misread(settings_class(SERVICES[name].settings), set_by_stack):
            of = f"the settings of the {name}"
            yield f"{found.setting.variable if found.setting else of}: {found.told}"
