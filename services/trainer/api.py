"""The trainer over HTTP: jobs, models, versions, promotion and its history."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.exceptions import RequestValidationError

from faultline.errors import InvalidReading, NotFound
from faultline.ports.clock import Clock
from faultline.ports.jobs import JobQueue, JobState
from faultline.ports.promotions import PromotionLog
from faultline.ports.registry import ModelRegistry
from faultline.ports.stores import FleetStore
from faultline.readings import format_timestamp
from faultline.web import problems
from services.trainer.absent import require_known, telling_which
from services.trainer.answers import (
    History,
    JobAnswer,
    Jobs,
    Models,
    MoveAnswer,
    VersionAnswer,
    Versions,
    job_answer,
    model_answer,
    move_answer,
    promotion_answer,
    version_answer,
)
from services.trainer.promotion import Promotions
from services.trainer.requests import PromoteRequest, RollbackRequest, Time, TrainRequest

PREFIX = "/api/v1/ml/models"

_Limit = Annotated[int, Query(ge=1, le=1_000, description="At most so many.")]
_JobId = Annotated[str, Path(description="As the request to train was answered.")]
_Name = Annotated[str, Path(description="A registered model.", examples=["faultline-pump"])]
_Version = Annotated[str, Path(description="Its number.", examples=["3"])]
_At = Annotated[
    Time | None,
    Query(description="RFC 3339 or epoch milliseconds: which version was live then?"),
]
_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r'^("[ !#-~]{1,255}"|[!#-~]([ !#-~]{0,253}[!#-~])?)$',
        description="A name for the request, with or without quotation marks. Sent again with the "
        "same body, the answer is the same job, and nothing is queued; with another body it is "
        "refused. A job that failed or was cancelled lets go of its key.",
        examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
    ),
]
_CLOCKS_DIFFER_MS = 60_000
_DOWN = HTTPStatus.SERVICE_UNAVAILABLE
_ABSENT = HTTPStatus.NOT_FOUND
_CONFLICT = HTTPStatus.CONFLICT
_INVALID = HTTPStatus.UNPROCESSABLE_ENTITY


def job_routes(queue: JobQueue, store: FleetStore) -> APIRouter:
    """Routes for training jobs."""
    router = APIRouter(prefix=f"{PREFIX}/train", tags=["training"])

    @router.post("", status_code=HTTPStatus.ACCEPTED, responses=problems(_INVALID, _DOWN))
    def train(request: TrainRequest, response: Response, key: _Key = None) -> JobAnswer:
        """Queue a training; follow it at the address in `Location`.

        A version is registered in Staging, unless there is one of the same rows, settings and code
        already (see `repeat`). The gate decides whether it goes into Production. A machine type
        without any readings is refused at once.
        """
        wanted = request.to_job(None if key is None else key.strip('"'))
        # A job that is there may outlive the readings, as the rows of an earlier version may.
        if request.dataset_version is None and queue.known(wanted) is None:
            require_known(store, request.machine_type)
        job = queue.submit(wanted)
        response.headers["Location"] = f"{PREFIX}/train/{job.job_id}"
        return job_answer(job)

    @router.get("", responses=problems(_INVALID, _DOWN))
    def list_jobs(
        state: Annotated[JobState | None, Query(description="Only those.")] = None,
        limit: _Limit = 50,
    ) -> Jobs:
        """List jobs, newest first."""
        return Jobs(jobs=[job_answer(job) for job in queue.list(state, limit)])

    @router.get("/{job_id}", responses=problems(_ABSENT, _DOWN))
    def show_job(job_id: _JobId) -> JobAnswer:
        """Show how a job stands."""
        return job_answer(queue.get(job_id))

    @router.post("/{job_id}/cancel", responses=problems(_ABSENT, _CONFLICT, _DOWN))
    def cancel_job(job_id: _JobId) -> JobAnswer:
        """Cancel a job, also one that is worked on, until its version is being registered."""
        return job_answer(queue.cancel(job_id))

    return router


def model_routes(registry: ModelRegistry, store: FleetStore) -> APIRouter:
    """Routes for models and their versions."""
    router = APIRouter(prefix=PREFIX, tags=["models"])

    @router.get("", responses=problems(_DOWN))
    def list_models() -> Models:
        """List the registered models, by name."""
        return Models(
            models=[model_answer(name, registry.versions(name)) for name in registry.models()]
        )

    @router.get("/{name}/versions", responses=problems(_ABSENT, _DOWN))
    def list_versions(
        name: _Name,
        verdicts: Annotated[
            bool,
            Query(description="Count the stored verdicts of each, which takes a look at all."),
        ] = False,
    ) -> Versions:
        """List the versions of a model, newest first."""
        with telling_which(registry, name):
            found = registry.versions(name)
        if not verdicts:
            return Versions(versions=[version_answer(one) for one in found])
        made = store.verdicts_by_version(name)
        return Versions(versions=[version_answer(one, made.get(one.version, 0)) for one in found])

    @router.get("/{name}/production", responses=problems(_ABSENT, _DOWN))
    def show_production(name: _Name) -> VersionAnswer:
        """Show the version in Production."""
        with telling_which(registry, name):
            production = registry.production(name)
            if production is None:
                raise NotFound(f"no version of {name} is in Production")
        return version_answer(production)

    return router


def change_routes(
    registry: ModelRegistry, promotions: Promotions, promotion_log: PromotionLog, clock: Clock
) -> APIRouter:
    """Routes that change which version is in Production, and tell which was."""
    router = APIRouter(prefix=PREFIX, tags=["models"])

    @router.post(
        "/{name}/versions/{version}/promote",
        responses=problems(_ABSENT, _CONFLICT, _INVALID, _DOWN),
    )
    def promote(name: _Name, version: _Version, request: PromoteRequest) -> MoveAnswer:
        """Move a version to a stage.

        Into Production only when the gate has passed it, unless forced. To ask again is harmless:
        where it is there already, nothing is done, and the answer says so.
        """
        with telling_which(registry, name, version):
            move = promotions.move(
                name,
                version,
                request.stage,
                actor=request.requested_by,
                reason=request.reason,
                force=request.force,
            )
        return move_answer(move)

    @router.post(
        "/{name}/rollback",
        responses=problems(_ABSENT, _CONFLICT, _INVALID, _DOWN),
        openapi_extra={"requestBody": {"required": True}},
    )
    def roll_back(name: _Name, request: RollbackRequest | None = None) -> MoveAnswer:
        """Put an earlier version into Production again, also an archived one.

        The gate is not asked again; what it said is in the history.
        """
        if request is None:
            # Else it would be told that a body is needed, and not what for.
            raise RequestValidationError(
                [{"loc": ("body", "reason"), "msg": "a rollback needs a reason", "type": "missing"}]
            )
        with telling_which(registry, name, request.to):
            move = promotions.roll_back(
                name, request.to, actor=request.requested_by, reason=request.reason
            )
        return move_answer(move)

    @router.get("/{name}/history", responses=problems(_ABSENT, _INVALID, _DOWN))
    def show_history(name: _Name, at: _At = None, limit: _Limit = 100) -> History:
        """List the changes of Production, and say which version was live at a time."""
        if at is not None and at > clock.now_ms() + _CLOCKS_DIFFER_MS:
            raise InvalidReading(
                f"at: {format_timestamp(at)} is in the future; leave it out to ask what is live now"
            )
        rows = promotion_log.list(name, limit)
        if not rows:
            # Tells a model that never had a version in Production from one that is not there.
            with telling_which(registry, name):
                registry.versions(name)
        newest = rows[0] if rows and rows[0].to_version is not None else None
        live = newest if at is None else promotion_log.live_at(name, at)
        return History(
            model_name=name,
            at=None if at is None else format_timestamp(at),
            live=None if live is None else promotion_answer(live),
            promotions=[promotion_answer(row) for row in rows],
        )

    return router
