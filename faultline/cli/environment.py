"""What the environment says to the services, looked at before any of them is started.

It reads the settings as the services do and knows nothing of how they are run.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from faultline.local.home import ENDPOINT_VARIABLES, HOME_VARIABLE
from faultline.settings import AlarmSettings, Declared, declared

_PREFIX = "FAULTLINE_"
# What is no setting of a service: addresses for the commands, the stack's mark on its processes,
# and what the containers, the tests and the benches read.
_ELSEWHERE = frozenset(
    {
        HOME_VARIABLE,
        *ENDPOINT_VARIABLES.values(),
        "FAULTLINE_STACK_HOME",
        "FAULTLINE_STATE_DIR",
        "FAULTLINE_DB_PASSWORD",
        "FAULTLINE_SETTINGS_FILE",
        "FAULTLINE_SOURCE",
        "FAULTLINE_TAG",
        "FAULTLINE_COMMAND",
        "FAULTLINE_DATA",
        "FAULTLINE_HISTORY_MINUTES",
        "FAULTLINE_HISTORY_SEED",
    }
)


class Misread(NamedTuple):
    """A setting that a service could not read.

    Attributes
    ----------
    setting
        None: what is wrong is not of one alone.
    told
        What is wrong with it, without what was given: that may be a password.
    """

    setting: Declared | None
    told: str


def settings_class(name: str) -> type[BaseSettings]:
    """Import the class that `module:name` names."""
    module, _, attribute = name.partition(":")
    settings: type[BaseSettings] = getattr(importlib.import_module(module), attribute)
    return settings


def misread(settings: type[BaseSettings], set_later: Collection[str] = ()) -> Iterator[Misread]:
    """What a service could not read in this process's environment.

    Parameters
    ----------
    set_later
        Variables that the service will have other values of: whatever they are now is no matter.
    """
    try:
        read = settings()
        if isinstance(read, AlarmSettings):
            read.alarm_policy()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            place = str(problem["loc"][0]).upper() if problem["loc"] else ""
            setting = _named(settings, {place})
            if setting is None or setting.variable not in set_later:
                yield Misread(setting, problem["msg"].removeprefix("Value error, "))
    except SettingsError as error:
        # Of a list or a table, which is JSON in the environment.
        setting = _named(settings, {name.upper() for name in re.findall(r'"(\w+)"', str(error))})
        yield Misread(setting, "it is no JSON of the kind that is asked for")
    except ValueError as error:
        # Each number of the alarm rule may be so, but not all of them together.
        yield Misread(_named(settings, {"ALARM_OPEN_BAD"}), str(error))


def _named(settings: type[BaseSettings], names: Collection[str]) -> Declared | None:
    for setting in declared(settings):
        if setting.field.upper() in names or setting.variable in names:
            return setting
    return None


def unknown(environ: Iterable[str], settings: Iterable[type[BaseSettings]]) -> Iterator[str]:
    """A sentence for each variable that looks like a setting and is read by nothing.

    Examples
    --------
    >>> from faultline.settings import RetentionSettings
    >>> print(*unknown(["FAULTLINE_RETENTION_EVENT_DAYS"], [RetentionSettings]))
    FAULTLINE_RETENTION_EVENT_DAYS is no setting and is ignored: FAULTLINE_RETENTION_EVENTS_DAYS?
    """
    declarations = [one for each in settings for one in declared(each)]
    # A setting with a variable of its own, MLflow's, is read by its name with the prefix too.
    by_name = {f"{_PREFIX}{one.field.upper()}" for one in declarations}
    known = _ELSEWHERE | by_name | {one.variable for one in declarations}
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, sorted(known), n=1, cutoff=0.8)
            question = f": {near[0]}?" if near else ""
            yield f"{variable} is no setting and is ignored{question}"
