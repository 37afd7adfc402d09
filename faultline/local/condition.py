"""How the components of a running stack are, in words that a person and a program can read."""

from __future__ import annotations

from typing import Literal

import msgspec

from faultline.local.component import Component
from faultline.local.supervision import ProgramState


class ComponentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a component is.

    Attributes
    ----------
    state
        `healthy`, `unhealthy` (runs but does not do its work yet), `restarting`, `stopped`,
        `failed` (will not be started again).
    pid, uptime_s
        None for a server elsewhere, and when it does not run.
    restarts
        How often it was started again after it died, since the stack was started.
    """

    name: str
    state: Literal["healthy", "unhealthy", "restarting", "stopped", "failed"]
    address: str
    external: bool
    pid: int | None
    uptime_s: float | None
    restarts: int


def condition(part: Component, program: ProgramState | None, restarts: int) -> ComponentStatus:
    """Put together what the supervisor says of a component and what it says of itself.

    Parameters
    ----------
    program
        The supervisor's word; None for a server elsewhere.
    restarts
        Counted by the caller.
    """
    state: Literal["healthy", "unhealthy", "restarting", "stopped", "failed"]
    if part.is_external:
        state = "healthy" if part.ready() else "unhealthy"
    elif program is None or program.state in ("stopped", "stopping"):
        state = "stopped"
    elif program.state == "fatal":
        state = "failed"
    elif program.pid is None:
        state = "restarting"
    else:
        state = "healthy" if part.ready() else "unhealthy"
    return ComponentStatus(
        name=part.name,
        state=state,
        address=part.address,
        external=part.is_external,
        pid=program.pid if program else None,
        uptime_s=program.uptime_s if program and program.pid else None,
        restarts=restarts,
    )
