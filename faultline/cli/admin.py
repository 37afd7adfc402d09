"""`faultline migrate` and `faultline topics`: the two steps before the services start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential,
)

from faultline.errors import Unavailable
from faultline.settings import DatabaseSettings, KafkaSettings

Result = TypeVar("Result")

WaitOption = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", min=0, help="How long to wait for a server that is starting."
    ),
]


def migrate(
    postgres: Annotated[
        str | None,
        typer.Option(
            "--postgres",
            metavar="URL",
            show_default="FAULTLINE_DATABASE_URL",
            help="The database: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.",
        ),
    ] = None,
    wait_s: WaitOption = 60.0,
) -> None:
    """Bring the database's tables up to date. Safe to repeat, and while services run."""
    from faultline.adapters.postgres.migration import (  # noqa: PLC0415 - a quick --help
        migrate as bring_up_to_date,
    )

    url = postgres or DatabaseSettings().database_url
    migrated = _patiently(lambda: bring_up_to_date(url), wait_s)
    if migrated.before == migrated.after:
        typer.echo(f"tables are up to date (revision {migrated.after})")
    else:
        typer.echo(f"tables brought from {migrated.before or 'nothing'} to {migrated.after}")


def topics(
    kafka: Annotated[
        str | None,
        typer.Option(
            "--kafka",
            metavar="HOST:PORT",
            show_default="FAULTLINE_KAFKA_BOOTSTRAP_SERVERS",
            help="The broker; several with commas.",
        ),
    ] = None,
    wait_s: WaitOption = 60.0,
) -> None:
    """Create the topics that are missing. Safe to repeat; topics that exist stay as they are."""
    from faultline.adapters.broker import open_broker  # noqa: PLC0415 - a quick --help
    from faultline.topics import ALL  # noqa: PLC0415

    settings = KafkaSettings(kafka_bootstrap_servers=kafka) if kafka else KafkaSettings()
    broker = open_broker(settings, "faultline-topics")
    try:
        created = _patiently(lambda: broker.create_topics(ALL), wait_s)
    finally:
        broker.close()
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(f"all {len(ALL)} topics are there")


def _patiently(step: Callable[[], Result], wait_s: float) -> Result:
    """Do it until it works or time is up; says once what it is waiting for."""

    def tell(attempt: RetryCallState) -> None:
        if attempt.attempt_number == 1 and attempt.outcome is not None:
            typer.echo(f"waiting: {attempt.outcome.exception()}", err=True)

    retrying = Retrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_delay(wait_s),
        wait=wait_exponential(multiplier=0.25, max=2.0),
        before_sleep=tell,
        reraise=True,
    )
    return retrying(step)
