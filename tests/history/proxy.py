"""A TCP proxy on this machine that cuts, stalls, and catches requests on their way.

It knows where a request of Kafka's protocol ends, and nothing else of what passes.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
_CHUNK_BYTES = 65_536
_LOOK_EVERY_S = 0.1
_JOIN_S = 10.0

Requests = Callable[[socket.socket], Iterator[bytes]]
"""Cuts what a client sends into parts that are forwarded, or caught, as a whole."""
Matches = Callable[[bytes], bool]


def chunks(client: socket.socket) -> Iterator[bytes]:
    """As they come."""
    while data := client.recv(_CHUNK_BYTES):
        yield data


def kafka_requests(client: socket.socket) -> Iterator[bytes]:
    """Requests of Kafka's protocol with the four bytes of their length before them."""
    received = b""
    for data in chunks(client):
        received += data
        while len(received) >= 4:
            end = 4 + int.from_bytes(received[:4], "big")
            if len(received) < end:
                break
            yield received[:end]
            received = received[end:]


class Trap:
    """Waits for one request. When it has come, the proxy lets nothing pass until `release`.

    Attributes
    ----------
    sprung
        Set once the request has come, and once the server has answered it if it was delivered.
    """

    def __init__(self, matches: Matches, *, delivers: bool) -> None:
        self.matches = matches
        self.delivers = delivers
        self.sprung = threading.Event()


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.caught_by: Trap | None = None

    def close(self) -> None:
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Proxy:
    """Forwards to a port of this machine.

    Parameters
    ----------
    target
        The port.
    requests
        How what clients send is cut.
    """

    def __init__(self, target: int, requests: Requests = chunks) -> None:
        self._target = target
        self._requests = requests
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._threads: list[threading.Thread] = []
        self._flows = threading.Event()
        self._flows.set()
        self._is_cut = False
        self._is_closed = False
        self._trap: Trap | None = None
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections and threads."""
        self._is_closed = True
        # Wakes the thread that accepts; closing alone would not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()
        for thread in self._threads:
            thread.join(_JOIN_S)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing passes, and nobody is told, until the block ends."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    @contextmanager
    def catching(self, matches: Matches, *, delivers: bool) -> Iterator[Trap]:
        """Wait for one request, and cut everything when it has come.

        Parameters
        ----------
        delivers
            Whether the server gets it; its answer is lost.
        """
        trap = Trap(matches, delivers=delivers)
        self._trap = trap
        try:
            yield trap
        finally:
            self._trap = None
            self._is_cut = False

    def _cut_all(self) -> None:
        self._is_cut = True
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            try:
                server = socket.create_connection((HOST, self._target))
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(client, server)
            with self._lock:
                self._connections.append(connection)
            self._start(self._forward, connection)
            self._start(self._answer, connection)

    def _forward(self, connection: _Connection) -> None:
        # An error: it was cut, or one side went away.
        with suppress(OSError):
            for request in self._requests(connection.client):
                self._wait_for_flow()
                trap = self._trap
                if trap is None or trap.sprung.is_set() or not trap.matches(request):
                    connection.server.sendall(request)
                elif trap.delivers:
                    connection.caught_by = trap
                    connection.server.sendall(request)
                else:
                    self._spring(trap)
        self._end(connection)

    def _answer(self, connection: _Connection) -> None:
        with suppress(OSError):
            for data in chunks(connection.server):
                self._wait_for_flow()
                if connection.caught_by is not None:
                    self._spring(connection.caught_by)
                    break
                connection.client.sendall(data)
        self._end(connection)

    def _spring(self, trap: Trap) -> None:
        self._cut_all()
        trap.sprung.set()

    def _wait_for_flow(self) -> None:
        while not self._flows.wait(_LOOK_EVERY_S) and not self._is_closed:
            pass

    def _end(self, connection: _Connection) -> None:
        connection.close()
        with self._lock:
            if connection in self._connections:
                self._connections.remove(connection)


_PRODUCE, _OFFSET_COMMIT = 0, 8


def commits_offsets(request: bytes) -> bool:
    """Whether a request of Kafka's protocol commits a group's offsets."""
    return _api(request) == _OFFSET_COMMIT


def produces(text: str = "") -> Matches:
    """Match requests that hand over messages in which a text stands."""
    wanted = text.encode()
    return lambda request: _api(request) == _PRODUCE and wanted in request


def says(text: str) -> Matches:
    """Match requests to PostgreSQL in which a text stands."""
    wanted = text.encode()
    return lambda request: wanted in request


def _api(request: bytes) -> int:
    return int.from_bytes(request[4:6], "big")
