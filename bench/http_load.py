"""Sends one request over and over, over some connections: a process of its own, on raw sockets.

`python -m bench.http_load HOST PORT PATH BODYFILE CONNECTIONS SECONDS` prints one JSON object:
requests answered as they should be, others, the times to answer in milliseconds, and what this
process took of the CPU. A client library would take more of it than the servers that are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class _Connection(asyncio.Protocol):
    """Asks again as soon as the answer is there."""

    def __init__(
        self, request: bytes, good: bytes, until_s: float, ended: asyncio.Future[None]
    ) -> None:
        self.times_ms: list[float] = []
        self.bad = 0
        self._request = request
        self._good = good
        self._until_s = until_s
        self._ended = ended
        self._received = b""
        self._begun_s = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._begun_s = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = self._received[:end].lower()
        at = head.find(_LENGTH)
        if at < 0:
            self._fail()
            return
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(self._received) < end + len(_HEAD_END) + length:
            return
        now_s = time.perf_counter()
        if self._good in self._received[:13]:
            self.times_ms.append(1_000 * (now_s - self._begun_s))
        else:
            self.bad += 1
        self._received = b""
        if now_s < self._until_s:
            self._ask()
        else:
            self._transport.close()

    def _fail(self) -> None:
        self.bad += 1
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self._ended.done():
            self._ended.set_result(None)


def _same(connection: _Connection) -> _Connection:
    return connection


async def _load(given: argparse.Namespace, request: bytes) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    until_s = time.perf_counter() + given.seconds
    good = f" {given.status} ".encode()
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(given.connections)]
    made: list[_Connection] = []
    for ended in ends:
        connection = _Connection(request, good, until_s, ended)
        await loop.create_connection(partial(_same, connection), given.host, given.port)
        made.append(connection)
    await asyncio.gather(*ends)
    return made


def request_of(
    host: str, port: int, path: str, body: bytes, content_type: str = "application/json"
) -> bytes:
    """A whole POST request, on a connection that is kept."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\n"
        f"Accept: */*\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main(arguments: Sequence[str] | None = None) -> int:
    """Send, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("body", type=Path)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--content-type", default="application/json")
    parser.add_argument("--status", type=int, default=200, help="of a good answer")
    given = parser.parse_args(arguments)
    body = given.body.read_bytes()
    request = request_of(given.host, given.port, given.path, body, given.content_type)
    made = asyncio.run(_load(given, request))
    times_ms = sorted(each for connection in made for each in connection.times_ms)
    bad = sum(connection.bad for connection in made)
    told = {"answered": len(times_ms), "bad": bad, "times_ms": times_ms}
    print(json.dumps({**told, "cpu_s": time.process_time()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
