"""`GET /api/v1/stream`: verdicts, alarms, drift, what happens to models, as Server-Sent Events."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from types import FrameType
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

from faultline.readings import check_machine_id
from faultline.verdicts import Status
from faultline.web import problems
from services.predictor.answers import AlarmAnswer, Verdicts
from services.predictor.drift_api import EventAnswer
from services.predictor.live import LiveEvents
from services.predictor.live_client import LiveClient, Readers
from services.predictor.live_events import Gap, Kind, ModelNews, Wanted

_HEADERS = {
    "Cache-Control": "no-store",
    # nginx would gather events otherwise.
    "X-Accel-Buffering": "no",
}
_EVENTS: dict[str, type[Any]] = {
    Kind.VERDICT: Verdicts,
    Kind.ALARM: AlarmAnswer,
    Kind.MODEL: ModelNews,
    Kind.DRIFT: EventAnswer,
    "gap": Gap,
}


def live_routes(live: LiveEvents) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/api/v1")
    readers = Readers()

    async def admitted() -> AsyncIterator[LiveClient]:
        client = LiveClient(live, readers)
        try:
            yield client
        finally:
            await client.close()

    # It is closed when the answer has ended, however that comes about.
    @router.get(
        "/stream",
        tags=["live"],
        # FastAPI encodes events itself for the class of the answer, one by one, for every client.
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Events without end. A comment comes every 15 s when nothing else "
                "does.",
                "content": {"text/event-stream": {"itemSchema": _item_schema()}},
            },
            **problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
        },
    )
    async def stream(
        wanted: Annotated[Wanted, Depends(_wanted)],
        # Not `Annotated`, which is read where `admitted` is not known.
        client: LiveClient = Depends(admitted),  # noqa: B008
        last_event_id: Annotated[
            str | None,
            Header(
                description="The id of the last event that was received, of any replica: what came "
                "since is sent first."
            ),
        ] = None,
    ) -> EventSourceResponse:
        """Follow verdicts, alarms, drift and what happens to models, of all machines, as they come.

        Any replica has the events of all. Their data is what the lists answer: `verdict` a machine
        with some of its verdicts, newest first; `alarm` an alarm as it stands now that it was
        opened, updated or closed; `model` what happened to a version; `drift` what began to drift,
        of a machine type. `gap` says what was left out, and why.
        """
        return EventSourceResponse(client.stream(wanted, last_event_id), headers=_HEADERS)

    return router


def _wanted(
    machine_id: Annotated[
        list[str],
        Query(
            description="Only these; events about models and drift are of no machine.",
            examples=["pump-07"],
        ),
    ] = [],  # noqa: B006 - FastAPI's way to write it, and nobody changes it
    machine_type: Annotated[
        str | None,
        Query(description="Only this one.", examples=["pump"], pattern="^[a-z0-9_-]{1,63}$"),
    ] = None,
    events: Annotated[list[Kind], Query(description="Only these; all when left out.")] = [],  # noqa: B006 - likewise
    status: Annotated[
        Status | None, Query(description="Only verdicts of it; the other events come as well.")
    ] = None,
) -> Wanted:
    for one in machine_id:
        check_machine_id(one)
    return Wanted(
        kinds=frozenset(events or Kind),
        machine_ids=frozenset(machine_id),
        machine_type=machine_type,
        status=status,
    )


def _item_schema() -> dict[str, Any]:
    """One event, as OpenAPI 3.2 has it; readers of 3.1 pass it over."""
    return {
        "oneOf": [
            {
                "type": "object",
                "required": ["event", "data"],
                "properties": {
                    "id": {"type": "string"},
                    "event": {"const": str(name)},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": model.model_json_schema(),
                    },
                },
            }
            for name, model in _EVENTS.items()
        ]
    }


def ending_at_a_signal(
    live: LiveEvents,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that ends the streams as soon as the process is told to stop.

    The server ends an application only after its last answer, and these have no end of their own.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        before: dict[int, Any] = {}

        def told(number: int, frame: FrameType | None) -> None:
            # Not from within the handler: the code that it interrupts may hold the lock.
            loop.call_soon_threadsafe(live.end)
            if callable(before[number]):
                before[number](number, frame)

        # Signals come to the main thread only; elsewhere there is no server that they would stop.
        if threading.current_thread() is threading.main_thread():
            for number in map(int, (signal.SIGTERM, signal.SIGINT)):
                before[number] = signal.getsignal(number)
                signal.signal(number, told)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return lifespan
