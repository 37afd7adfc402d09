"""Faultline's own parts of a stack: two commands that run once, and the four services."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import platformdirs

from faultline.local.component import Component, answers_http
from faultline.local.home import Endpoints, Home
from faultline.local.ports import HOST, Ports
from faultline.local.supervision import Program

STEPS: Mapping[str, tuple[str, ...]] = {"migrate": ("postgres",), "topics": ("kafka",)}
SERVICES: Mapping[str, tuple[str, ...]] = {
    "recorder": ("services.ingest", "recorder"),
    "gateway": ("services.ingest", "gateway"),
    "trainer": ("services.trainer",),
    "predictor": ("services.predictor",),
}
_NEEDS = ("kafka", "postgres", "mlflow", *STEPS)

# Small arrays: a pool of threads per process costs more than it gives, and they share the cores.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SMALL_MACHINE_CORES = 4


def environment(
    home: Home, ports: Ports, endpoints: Endpoints, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Environment of everything that runs in the stack.

    Parameters
    ----------
    base
        What is inherited: the caller's environment when None. Settings in it that are not about
        addresses (log level, limits) reach the services unchanged.
    """
    inherited = dict(os.environ if base is None else base)
    if (os.cpu_count() or 1) <= _SMALL_MACHINE_CORES:
        for variable in _ONE_THREAD:
            inherited.setdefault(variable, "1")
    # Whoever wants no compiled files beside the sources may still have them in a cache: without
    # any, MLflow alone compiles for eight seconds at every start.
    if inherited.pop("PYTHONDONTWRITEBYTECODE", ""):
        inherited.setdefault(
            "PYTHONPYCACHEPREFIX", str(platformdirs.user_cache_path("faultline") / "pycache")
        )
    # A proxy for the outside must not be asked for this machine.
    for variable in ("NO_PROXY", "no_proxy"):
        inherited[variable] = ",".join(filter(None, [inherited.get(variable), HOST, "localhost"]))
    return {
        **inherited,
        # Paths with letters of any script, whatever the caller's locale.
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "FAULTLINE_HOME": str(home.path),
        "FAULTLINE_KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka,
        "FAULTLINE_DATABASE_URL": endpoints.database_url,
        "MLFLOW_TRACKING_URI": endpoints.mlflow,
        "FAULTLINE_STATE_DIR": str(home.state),
        "FAULTLINE_HTTP_HOST": HOST,
        **{
            f"FAULTLINE_{service.upper()}_PORT": str(ports.named()[service]) for service in SERVICES
        },
    }


def set_variables(home: Home, ports: Ports) -> frozenset[str]:
    """Variables that a stack gives its services, whatever the caller's environment says."""
    nowhere = Endpoints(**dict.fromkeys(Endpoints.__struct_fields__, ""))
    return frozenset(environment(home, ports, nowhere, {}))


def step(name: str) -> Component:
    """Return `migrate` or `topics`: run once, before the services, every time."""
    return Component(
        name=name,
        needs=STEPS[name],
        address="",
        ready=lambda: True,
        once=[sys.executable, "-m", "faultline", name],
        start_timeout_s=120.0,
    )


def service(name: str, port: int) -> Component:
    """One of the four services."""
    address = f"http://{HOST}:{port}"
    return Component(
        name=name,
        needs=_NEEDS,
        address=address,
        ready=lambda: answers_http(f"{address}/health/ready"),
        program=Program(
            name=name,
            command=[sys.executable, "-m", *SERVICES[name]],
            stop_wait_s=30,
        ),
    )
