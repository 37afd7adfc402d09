"""Servers that exist already and are used instead of embedded ones, checked before any start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from faultline.errors import Conflict, Unavailable
from faultline.local.component import Component, answers_http
from faultline.local.home import External
from faultline.local.kafka import is_ready


def normalized(external: External) -> External:
    """Check the form of the addresses and bring them to the form that the services read.

    Raises
    ------
    Conflict
        When one is no address; says what one looks like.
    """
    return External(
        kafka=_brokers(external.kafka) if external.kafka else None,
        postgres=_database(external.postgres) if external.postgres else None,
        mlflow=_http(external.mlflow) if external.mlflow else None,
    )


def _brokers(text: str) -> str:
    brokers = [each.strip() for each in text.split(",")]
    for broker in brokers:
        _, separator, port = broker.rpartition(":")
        if not separator or not port.isdigit():
            raise Conflict(f"--kafka {text!r} is not HOST:PORT, or several with commas")
    return ",".join(brokers)


def _database(text: str) -> str:
    from sqlalchemy import make_url  # noqa: PLC0415 - only where a database is given
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        url = make_url(text.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() != "postgresql" or not url.database:
        # The text may hold a password, so it is not repeated.
        raise Conflict(
            "--postgres is not of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    return url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def _http(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Conflict(f"--mlflow {text!r} is not of the form http://HOST:PORT")
    return text.rstrip("/")


def components(external: External) -> dict[str, Component]:
    """Return the given servers as parts of the stack, by name."""
    parts: dict[str, Component] = {}
    if external.kafka is not None:
        parts["kafka"] = _server("kafka", external.kafka, _any_broker(external.kafka.split(",")))
    if external.postgres is not None:
        parts["postgres"] = _server(
            "postgres", without_password(external.postgres), _database_answers(external.postgres)
        )
    if external.mlflow is not None:
        health = f"{external.mlflow}/health"
        parts["mlflow"] = _server("mlflow", external.mlflow, lambda: answers_http(health))
    return parts


def _server(name: str, address: str, ready: Callable[[], bool]) -> Component:
    return Component(name=name, needs=(), address=address, ready=ready)


def require_reachable(parts: dict[str, Component]) -> None:
    """Check every given server.

    Raises
    ------
    Unavailable
        Naming each that does not answer.
    """
    silent = [f"--{part.name} {part.address}" for part in parts.values() if not part.ready()]
    if silent:
        raise Unavailable(
            f"no answer from {' and '.join(silent)}; nothing was started. Check the address and "
            "that the server runs, or leave the option out to use an embedded one"
        )


def without_password(url: str) -> str:
    """Make a database URL fit to be shown."""
    from sqlalchemy import make_url  # noqa: PLC0415 - only where a database is given

    return make_url(url).render_as_string(hide_password=True)


def _any_broker(brokers: Sequence[str]) -> Callable[[], bool]:
    def ready() -> bool:
        for broker in brokers:
            host, _, port = broker.rpartition(":")
            if is_ready(host.strip("[]"), int(port)):
                return True
        return False

    return ready


def _database_answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        from sqlalchemy import create_engine  # noqa: PLC0415 - only where a database is given
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415
        from sqlalchemy.pool import NullPool  # noqa: PLC0415

        engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except SQLAlchemyError:
            return False
        return True

    return ready
