"""Remembers what was answered to requests that have a key, so that a repetition gets the same.

Bounded in time and in bytes, and of this process: what makes a repetition harmless everywhere is
that a reading's identity is its machine and timestamp. Knows nothing of readings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple

from cachetools import TTLCache
from starlette.exceptions import HTTPException

# A digest, a key and the entry's own frame, about.
_OVERHEAD_BYTES = 512
_LONGEST_KEY = 255


class Answer(NamedTuple):
    """Status and JSON body of an answer."""

    status: int
    body: bytes


class _Entry(NamedTuple):
    fingerprint: bytes
    answer: Answer


def idempotency_key(header: str) -> str:
    """The key that a header `Idempotency-Key` holds, quoted (as the IETF's draft has it) or bare.

    Raises
    ------
    HTTPException
        400 when it is not 1 to 255 printable ASCII characters.
    """
    text = header.strip()
    key = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not 1 <= len(key) <= _LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise HTTPException(
            HTTPStatus.BAD_REQUEST,
            f"Idempotency-Key: must be 1 to {_LONGEST_KEY} printable characters, such as a UUID",
        )
    return key


def fingerprint(parts: Iterable[bytes]) -> bytes:
    """A digest of all that decides on the answer to a request."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


class Answers:
    """The answers given of late. Used from one event loop.

    Parameters
    ----------
    size_bytes, keep_s
        What is remembered at most, and for how long.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, size_bytes: int, keep_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._given: TTLCache[bytes, _Entry] = TTLCache(
            size_bytes,
            keep_s,
            timer=clock,
            getsizeof=lambda entry: _OVERHEAD_BYTES + len(entry.answer.body),
        )
        self._under_way: dict[bytes, bytes] = {}

    async def once(
        self, client: str, key: str, of: bytes, give: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Answer as the client's first request with the key was answered, or be the first.

        Only an answer is remembered: when `give` raises, the next request is the first again.

        Parameters
        ----------
        client
            Who sends: others may have the same keys.
        of
            The request's fingerprint.

        Raises
        ------
        HTTPException
            422 when the key came with another request, 409 while the first is under way.
        """
        name = fingerprint((client.encode(), key.encode()))
        known = self._given.get(name)
        first = self._under_way.get(name) if known is None else known.fingerprint
        if first is not None and first != of:
            raise HTTPException(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"Idempotency-Key: {key!r} came with another request; give each one a key of its "
                "own",
            )
        if known is not None:
            return known.answer
        if first is not None:
            raise HTTPException(
                HTTPStatus.CONFLICT,
                f"Idempotency-Key: the first request with {key!r} is under way; ask again later",
                {"Retry-After": "1"},
            )
        self._under_way[name] = of
        try:
            answer = await give()
        finally:
            del self._under_way[name]
        entry = _Entry(of, answer)
        if self._given.getsizeof(entry) <= self._given.maxsize:
            self._given[name] = entry
        return answer
