"""The bounds on what a request may make the gateway hold."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from services.ingest.gateway.body import read_body


def test_a_body_that_says_it_is_too_long_is_not_read_at_all() -> None:
    async def receive() -> Message:
        raise AssertionError("the body is read")

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"11")]}
    with pytest.raises(HTTPException, match="larger than 10 bytes"):
        asyncio.run(read_body(Request(scope, receive), 10, 5.0))


def test_a_body_of_just_the_limit_is_read() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"0123456789", "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"10")]}
    assert asyncio.run(read_body(Request(scope, receive), 10, 5.0)) == b"0123456789"


def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    asked: list[bool] = []

    async def receive() -> Message:
        if asked:
            await asyncio.Event().wait()
        asked.append(True)
        return {"type": "http.request", "body": b"[", "more_body": True}

    scope = {"type": "http", "method": "POST", "headers": []}
    with pytest.raises(HTTPException, match="had not come after") as refused:
        # A deadline of its own, so that a body that is waited for fails the test.
        asyncio.run(asyncio.wait_for(read_body(Request(scope, receive), 10, 0.01), 30.0))
    assert refused.value.status_code == 408
