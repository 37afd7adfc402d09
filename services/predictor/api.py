"""The predictor over HTTP: judge readings now, and ask for models, machines, verdicts and alarms.

Lists come from the store, so that any replica answers about any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from faultline.alarms import AlarmState
from faultline.errors import NotFound
from faultline.events import machine_type_of, model_name
from faultline.ports.stores import FleetStore
from faultline.readings import check_machine_id, parse_timestamp
from faultline.verdicts import Status
from faultline.web import problems
from services.predictor.answers import (
    Alarms,
    MachineAnswer,
    Machines,
    Models,
    Verdicts,
    alarm_answer,
    machine_answer,
    model_answer,
    verdict_answer,
)
from services.predictor.loader import Refusal
from services.predictor.predicting import Predictions, predict_route
from services.predictor.slot import ModelSlot

_MACHINE_TYPE = "^[a-z0-9_-]{1,63}$"
_EPOCH_DIGITS = 18
_MachineId = Annotated[
    str, Path(description="Any printable characters, '/' too.", examples=["pump-07"])
]
_Limit = Annotated[int, Query(ge=1, le=1_000, description="At most so many.")]
_Time = Annotated[
    str | None,
    Query(
        description="RFC 3339 (in UTC without a zone) or epoch milliseconds.",
        examples=["2026-11-21T08:00:00Z"],
    ),
]


def routes(
    predictions: Predictions,
    slot: ModelSlot,
    refusals: Callable[[], Mapping[str, Refusal]],
    store: FleetStore,
) -> APIRouter:
    """All routes of the predictor's API.

    Parameters
    ----------
    predictions
        Answers requests to predict.
    refusals
        The refused version of each model, by model name.
    """
    router = APIRouter(prefix="/api/v1")
    router.include_router(predict_route(predictions))
    _add_models(router, slot, refusals)
    _add_lists(router, store)
    return router


def _add_models(
    router: APIRouter, slot: ModelSlot, refusals: Callable[[], Mapping[str, Refusal]]
) -> None:
    @router.get("/model", tags=["models"], responses=problems(HTTPStatus.NOT_FOUND))
    def model(
        machine_type: Annotated[
            str | None, Query(description="Only this one.", examples=["pump"])
        ] = None,
    ) -> Models:
        """Say which version judges each machine type in this replica, and which it refuses."""
        loaded, refused = slot.loaded(), refusals()
        names = {model_name(kind) for kind in loaded} | set(refused)
        if machine_type is not None:
            if model_name(machine_type) not in names:
                raise NotFound(
                    f"no model of the machine type {machine_type!r} is loaded; train one and "
                    "promote it"
                )
            names = {model_name(machine_type)}
        return Models(
            models=[
                model_answer(name, loaded.get(machine_type_of(name)), refused.get(name))
                for name in sorted(names)
            ]
        )


def _add_lists(router: APIRouter, store: FleetStore) -> None:
    unavailable = problems(HTTPStatus.SERVICE_UNAVAILABLE)
    missing = problems(HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.NOT_FOUND)
    invalid = problems(HTTPStatus.UNPROCESSABLE_ENTITY)

    @router.get("/machines", tags=["machines"], responses={**unavailable, **invalid})
    def machines(
        machine_type: Annotated[
            str | None,
            Query(description="Only those of it.", examples=["pump"], pattern=_MACHINE_TYPE),
        ] = None,
    ) -> Machines:
        """List all machines with their last verdict and open alarm, by id."""
        return Machines(machines=[machine_answer(known) for known in store.machines(machine_type)])

    # Before the route of a single machine, whose id would swallow the last part of this path.
    @router.get(
        "/machines/{machine_id:path}/verdicts",
        tags=["verdicts"],
        responses={**missing, **invalid},
    )
    def verdicts(
        machine_id: _MachineId,
        limit: _Limit = 100,
        start: _Time = None,
        end: _Time = None,
        status: Annotated[Status | None, Query(description="Only those.")] = None,
    ) -> Verdicts:
        """List a machine's verdicts, newest first; `end` is excluded."""
        check_machine_id(machine_id)
        found = store.verdicts(machine_id, _ms(start), _ms(end), status, limit)
        if not found:
            # Tells a machine without such verdicts from one that does not exist.
            store.machine(machine_id)
        return Verdicts(
            machine_id=machine_id, verdicts=[verdict_answer(verdict) for verdict in found]
        )

    @router.get("/machines/{machine_id:path}", tags=["machines"], responses={**missing, **invalid})
    def machine(machine_id: _MachineId) -> MachineAnswer:
        """Show one machine with its last verdict and open alarm."""
        check_machine_id(machine_id)
        return machine_answer(store.machine(machine_id))

    @router.get("/alarms", tags=["alarms"], responses={**unavailable, **invalid})
    def alarms(
        state: Annotated[AlarmState | None, Query(description="Only those.")] = None,
        machine_id: Annotated[str | None, Query(description="Only this machine's.")] = None,
        limit: _Limit = 100,
    ) -> Alarms:
        """List alarms, newest first."""
        if machine_id is not None:
            check_machine_id(machine_id)
        return Alarms(
            alarms=[alarm_answer(alarm) for alarm in store.alarms(machine_id, state, limit)]
        )


def _ms(time: str | None) -> int | None:
    if time is None:
        return None
    # A longer number is no time either, and Python refuses to read one of thousands of digits.
    is_epoch = time.isascii() and time.isdigit() and len(time) <= _EPOCH_DIGITS
    return parse_timestamp(int(time) if is_epoch else time)
