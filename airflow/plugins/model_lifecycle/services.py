"""HTTP to the services behind Airflow's connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowException, AirflowFailException

TRAINER = "faultline_trainer"
MLFLOW = "faultline_mlflow"
RECORDER = "faultline_recorder"
ALERTS = "faultline_alerts"

_TIMEOUT_S = 60.0
_SCHEMES = ("http", "https")
# Refused now, and perhaps not the next time: somebody else is at it, or there is too much to do.
_TRANSIENT = frozenset({409, 425, 429})


def base_url(connection: Connection) -> str:
    """Where a connection leads, without a slash at the end.

    A scheme is read from the host, else from the schema, as forms of Airflow's pages fill them in.
    """
    host = (connection.host or "").rstrip("/")
    if "://" not in host:
        named = (connection.schema, connection.conn_type)
        scheme = next((one for one in named if one in _SCHEMES), "http")
        host = f"{scheme}://{host}"
    return host if connection.port is None else f"{host}:{connection.port}"


def credentials(connection: Connection) -> httpx.BasicAuth | None:
    """A connection's user and password; None without a user."""
    if not connection.login:
        return None
    return httpx.BasicAuth(connection.login, connection.password or "")


@contextmanager
def service(connection_id: str, timeout_s: float = _TIMEOUT_S) -> Iterator[httpx.Client]:
    """A client of the service behind a connection."""
    connection = BaseHook.get_connection(connection_id)
    with httpx.Client(
        base_url=base_url(connection), auth=credentials(connection), timeout=timeout_s
    ) as client:
        yield client


def ask(
    client: httpx.Client, method: str, path: str, *, absent: bool = False, **request: Any
) -> httpx.Response:
    """Send a request and have it answered well.

    Parameters
    ----------
    absent
        Whether "not found" is such an answer.

    Raises
    ------
    AirflowException
        When no answer came, or one that may be another the next time: the task is retried.
    AirflowFailException
        When the request is refused for good, with the reason that the service gave.
    """
    try:
        response = client.request(method, path, **request)
    except httpx.TransportError as error:
        raise AirflowException(f"{client.base_url} does not answer: {error!r}") from error
    if response.is_success or (absent and response.status_code == httpx.codes.NOT_FOUND):
        return response
    said = f"{method} {response.url}: {response.status_code}, {reason(response)}"
    if response.is_server_error or response.status_code in _TRANSIENT:
        raise AirflowException(said)
    raise AirflowFailException(said)


def reason(response: httpx.Response) -> str:
    """Why a service refused, in its own words: `problem+json`'s, MLflow's, or the body's begin."""
    try:
        told = response.json()
    except ValueError:
        told = None
    if isinstance(told, dict):
        for field in ("detail", "message", "title"):
            if told.get(field):
                return str(told[field])
    return response.text[:500]
