"""MLflow's errors in our words: whether waiting can help, or what does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from mlflow.exceptions import MlflowException

from faultline.errors import Conflict, NotFound, Unavailable

_LONGEST = 300
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_REFUSED = frozenset(
    {"INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT"}
)
# Of the statuses that blame the caller: those that someone's help or time mends.
_MAY_PASS = frozenset({401, 403, 408, 429})


def is_code(error: MlflowException, code: str) -> bool:
    """Whether MLflow gave an error this code."""
    return bool(error.error_code == code)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise MLflow's errors as ours.

    Parameters
    ----------
    what
        Was being done, as in "MLflow could not ...".

    Raises
    ------
    NotFound
        When what was asked for does not exist.
    Conflict
        When MLflow refuses, and would again.
    Unavailable
        In every other case: it is down, too slow, or does not let us in until someone helps.
    """
    try:
        yield
    except MlflowException as error:
        told = f"MLflow could not {what}: {_short(error)}"
        if error.error_code in _ABSENT:
            raise NotFound(told) from error
        if error.error_code in _REFUSED:
            raise Conflict(told) from error
        raise Unavailable(told) from error
    except requests.RequestException as error:
        told = f"MLflow could not {what}: {_short(error)}"
        status = None if error.response is None else error.response.status_code
        if status == requests.codes.not_found:
            raise NotFound(told) from error
        if status is not None and 400 <= status < 500 and status not in _MAY_PASS:
            raise Conflict(told) from error
        raise Unavailable(told) from error


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
