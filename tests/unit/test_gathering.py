"""What is written to a connection in one turn of the loop goes out as one write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from faultline.gathering import GatheringTransport


class Socket(asyncio.Transport):
    """Remembers what was written, and when it was closed."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def is_closing(self) -> bool:
        return "closed" in self.done

    def close(self) -> None:
        self.done.append("closed")

    def abort(self) -> None:
        self.done.append("closed")


def after_turns(*turns: Callable[[GatheringTransport], None]) -> list[bytes | str]:
    socket = Socket()

    async def take_turns() -> None:
        transport = GatheringTransport(socket, asyncio.get_running_loop())
        for turn in turns:
            turn(transport)
            await asyncio.sleep(0)

    asyncio.run(take_turns())
    return socket.done


def test_one_turn_is_one_write() -> None:
    def answer(transport: GatheringTransport) -> None:
        transport.write(b"head ")
        transport.write(b"body")

    assert after_turns(answer, answer) == [b"head body", b"head body"]


def test_what_was_written_goes_out_before_the_end() -> None:
    def last(transport: GatheringTransport) -> None:
        transport.write(b"bye")
        transport.close()

    assert after_turns(last, lambda _: None) == [b"bye", "closed"]


def test_nothing_is_written_after_an_abort() -> None:
    def aborted(transport: GatheringTransport) -> None:
        transport.write(b"bye")
        transport.abort()
        transport.write(b"?")

    assert after_turns(aborted, lambda _: None) == ["closed"]


def test_much_does_not_wait() -> None:
    socket = Socket()

    async def write() -> None:
        transport = GatheringTransport(socket, asyncio.get_running_loop())
        transport.write(b"x" * 70_000)
        assert socket.done == [b"x" * 70_000]

    asyncio.run(write())
