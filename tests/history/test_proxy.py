"""The proxy between a client and a server that answers each request with the same in capitals."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from tests.history.proxy import (
    HOST,
    Proxy,
    commits_offsets,
    kafka_requests,
    produces,
    says,
)

_PATIENCE_S = 30.0


class _Capitals(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1024):
            self.server.seen.append(data)  # type: ignore[attr-defined]
            self.request.sendall(data.upper())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Capitals)
        self.seen: list[bytes] = []


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: _Server) -> Iterator[Proxy]:
    with Proxy(server.server_address[1]) as proxy:
        yield proxy


def _connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), _PATIENCE_S)


def _asked(client: socket.socket, request: bytes) -> bytes:
    """The answer; nothing when the connection ends."""
    try:
        client.sendall(request)
        return client.recv(1024)
    except ConnectionError:
        return b""


def test_it_forwards_both_ways(proxy: Proxy) -> None:
    with _connected(proxy) as client:
        assert [_asked(client, b"one"), _asked(client, b"two")] == [b"ONE", b"TWO"]


def test_stalled_it_lets_nothing_pass_until_it_flows_again(proxy: Proxy, server: _Server) -> None:
    with _connected(proxy) as client:
        assert _asked(client, b"one") == b"ONE"
        with proxy.stalled():
            client.sendall(b"two")
            # Another way in shows that the server is there.
            with socket.create_connection((HOST, server.server_address[1])) as direct:
                assert _asked(direct, b"three") == b"THREE"
            assert b"two" not in server.seen
        assert client.recv(1024) == b"TWO"


@pytest.mark.parametrize("delivers", [False, True])
def test_it_catches_the_one_request_that_it_waits_for(
    proxy: Proxy, server: _Server, delivers: bool
) -> None:
    with _connected(proxy) as client:
        with proxy.catching(says("COMMIT"), delivers=delivers) as trap:
            assert _asked(client, b"begin") == b"BEGIN"
            assert not trap.sprung.is_set()
            assert _asked(client, b"COMMIT;") == b""
            assert trap.sprung.wait(_PATIENCE_S)
            with _connected(proxy) as late:
                assert _asked(late, b"again") == b""
        assert (b"COMMIT;" in server.seen) is delivers
        with _connected(proxy) as after:
            assert _asked(after, b"on") == b"ON"


def test_requests_of_kafka_are_told_apart_wherever_their_bytes_are_cut() -> None:
    commit = _request(8, b"group")
    produce = _request(0, b'{"verdicts"')
    client, other = socket.socketpair()
    with client, other:
        other.sendall((commit + produce)[:7])
        requests = kafka_requests(client)
        other.sendall((commit + produce)[7:])
        other.shutdown(socket.SHUT_WR)
        assert list(requests) == [commit, produce]
    assert [commits_offsets(one) for one in (commit, produce)] == [True, False]
    assert [produces("verdicts")(one) for one in (commit, produce)] == [False, True]


def _request(api: int, content: bytes) -> bytes:
    body = api.to_bytes(2, "big") + content
    return len(body).to_bytes(4, "big") + body
