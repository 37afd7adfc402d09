"""Which components a stack has, in order of need, and the addresses they will have."""

from __future__ import annotations

from collections.abc import Collection

from faultline.errors import NotFound
from faultline.local import external as given
from faultline.local import kafka, postgres, services, tracking
from faultline.local.component import Component
from faultline.local.home import Endpoints, External, Home
from faultline.local.ports import HOST, Ports

ALL: tuple[str, ...] = ("kafka", "postgres", "mlflow", *services.STEPS, *services.SERVICES)


def chosen(names: Collection[str] | None) -> tuple[str, ...]:
    """Names in order of need; all when None.

    Raises
    ------
    NotFound
        Naming one that no stack has.
    """
    if names is None:
        return ALL
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        raise NotFound(f"no component is called {unknown[0]!r}; there are {', '.join(ALL)}")
    return tuple(name for name in ALL if name in names)


def endpoints(home: Home, ports: Ports, external: External) -> Endpoints:
    """Addresses of all components; a given server's where one is given."""
    return Endpoints(
        kafka=external.kafka or f"{HOST}:{ports.kafka}",
        database_url=external.postgres or postgres.url(home, ports.postgres, "faultline"),
        mlflow=external.mlflow or f"http://{HOST}:{ports.mlflow}",
        **{name: f"http://{HOST}:{ports.named()[name]}" for name in services.SERVICES},
    )


def components(
    home: Home, ports: Ports, names: Collection[str], external: External
) -> list[Component]:
    """Build the components, each after those that it needs.

    A need that is not among `names` is left out: whoever asks for a part of a stack sees to the
    rest.
    """
    elsewhere = given.components(external)
    embedded_postgres = "postgres" in names and "postgres" not in elsewhere
    made: list[Component] = []
    for name in names:
        if name in elsewhere:
            made.append(elsewhere[name])
        elif name == "kafka":
            made.append(kafka.component(home, ports.kafka, ports.kafka_controller))
        elif name == "postgres":
            made.append(postgres.component(home, ports.postgres))
        elif name == "mlflow":
            needs = ("postgres",) if embedded_postgres else ()
            made.append(tracking.component(home, ports.mlflow, needs))
        elif name in services.STEPS:
            made.append(services.step(name))
        else:
            made.append(services.service(name, ports.named()[name]))
    return made


def environment(
    home: Home, ports: Ports, names: Collection[str], external: External
) -> dict[str, str]:
    """Environment of everything in the stack."""
    embedded_postgres = "postgres" in names and external.postgres is None
    backend = (
        postgres.url(home, ports.postgres, "mlflow")
        if embedded_postgres
        else tracking.sqlite_backend(home)
    )
    return {
        **services.environment(home, ports, endpoints(home, ports, external)),
        **tracking.environment(backend),
    }


def ports_used(ports: Ports, parts: Collection[Component]) -> dict[str, int]:
    """Return the ports that these components will listen on, by the name to show."""
    named = ports.named()
    used = {
        part.name: named[part.name]
        for part in parts
        if part.program is not None and part.name in named
    }
    if "kafka" in used:
        used["kafka's controller"] = ports.kafka_controller
    return used
