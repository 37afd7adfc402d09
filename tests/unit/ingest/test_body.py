"""The bounds on what a request may make the gateway hold."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from services.ingest.gateway.body import inflate, read_body


def test_a_body_that_says_it_is_too_long_is_not_read_at_all() -> None:
    async def receive() -> Message:
        raise AssertionError("the body is read")

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"11")]}
    with pytest.raises(HTTPException, match="larger than 10 bytes"):
        asyncio.run(read_body(Request(scope, receive), 10))


def test_a_body_of_just_the_limit_is_read() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"0123456789", "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"10")]}
    assert asyncio.run(read_body(Request(scope, receive), 10)) == b"0123456789"


def test_a_gzip_bomb_is_never_held_in_memory() -> None:
    bomb = gzip.compress(bytes(20_000_000), 1)
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException, match="once inflated"):
            inflate(bomb, 100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_just_the_limit_is_inflated() -> None:
    assert inflate(gzip.compress(b"0123456789"), 10) == b"0123456789"


def test_gzip_of_very_many_empty_members_is_refused() -> None:
    with pytest.raises(HTTPException) as refused:
        inflate(gzip.compress(b"") * 101, 1_000)
    assert refused.value.status_code == 400
    assert "members" in str(refused.value.detail)
