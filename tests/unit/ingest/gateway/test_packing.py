"""Compressed bodies: gzip and zstd, bombs and what is cut short."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from faultline import topics
from faultline.adapters.memory import MemoryBroker
from faultline.errors import Overloaded
from faultline.readings import decode, encode_batch, make_reading
from services.ingest.gateway.packing import Packing, packing, unpack

URL = "/api/v1/readings"
PACK: dict[Packing, Callable[[bytes], bytes]] = {
    Packing.GZIP: lambda plain: gzip.compress(plain, 1, mtime=0),
    Packing.ZSTD: zstandard.ZstdCompressor().compress,
}
BOTH = pytest.mark.parametrize("packed", list(PACK), ids=lambda packed: packed.name)
BODY = encode_batch([make_reading("p", at_ms, {"pressure": 1.0}) for at_ms in (1, 2)])


def _post(client: TestClient, packed: Packing, body: bytes) -> tuple[int, str]:
    response = client.post(URL, content=body, headers={"content-encoding": packed.name.lower()})
    return response.status_code, response.text


@BOTH
def test_a_compressed_body_is_taken(
    client: TestClient, broker: MemoryBroker, packed: Packing
) -> None:
    assert _post(client, packed, PACK[packed](BODY))[0] == 202
    [message] = broker.sent(topics.READINGS.name)
    assert len(decode(message.value).readings) == 2


@BOTH
def test_a_body_in_several_members_or_frames_is_taken(packed: Packing) -> None:
    pack = PACK[packed]
    assert unpack(pack(BODY[:30]) + pack(BODY[30:]), packed, 1_000) == BODY


def test_a_zstd_frame_that_does_not_say_its_length_is_taken() -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    body = stream.compress(BODY) + stream.flush()
    assert unpack(body, Packing.ZSTD, 1_000) == BODY


@BOTH
def test_just_the_limit_is_unpacked(packed: Packing) -> None:
    assert unpack(PACK[packed](b"0123456789"), packed, 10) == b"0123456789"


@BOTH
@pytest.mark.parametrize("times", [1, 2])
def test_a_bomb_is_refused(client: TestClient, packed: Packing, times: int) -> None:
    status, told = _post(client, packed, PACK[packed](b" " * (60_000 // times)) * times)
    assert (status, "larger than 50000 bytes" in told) == (413, True)


@BOTH
def test_a_bomb_is_never_held_in_memory(packed: Packing) -> None:
    bomb = PACK[packed](bytes(40_000_000))
    held: list[int] = []
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException, match="once unpacked"):
            unpack(bomb, packed, 100_000, held.append)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    assert sum(held) <= 100_000


@BOTH
def test_what_is_unpacked_is_held_before_it_is_there(packed: Packing) -> None:
    size = 20_000_000
    body = PACK[packed](bytes(size))

    def refuse(_: int) -> None:
        raise Overloaded("too much is under way")

    tracemalloc.start()
    try:
        with pytest.raises(Overloaded):
            unpack(body, packed, size, refuse)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000


@BOTH
@pytest.mark.parametrize("parts", [1, 4])
def test_no_more_is_there_than_is_held(packed: Packing, parts: int) -> None:
    size = 20_000_000
    body = PACK[packed](bytes(size // parts)) * parts
    held: list[int] = []
    tracemalloc.start()
    try:
        assert len(unpack(body, packed, size, held.append)) == size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(held) == size
    # A chunk, and what a buffer has to spare.
    assert peak < 1.25 * size + 6_000_000


def test_zstd_that_asks_for_a_large_window_is_refused() -> None:
    settings = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    with pytest.raises(HTTPException, match="window") as refused:
        unpack(stream.compress(BODY) + stream.flush(), Packing.ZSTD, 1_000)
    assert refused.value.status_code == 413


@BOTH
@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: b"",
        lambda body: b"plain text",
        lambda body: body[:3],
        lambda body: body[:-4],
        lambda body: body + body[:-4],
        lambda body: body + b"x",
    ],
)
def test_what_is_cut_short_or_something_else_is_refused(
    client: TestClient, packed: Packing, spoil: Callable[[bytes], bytes]
) -> None:
    status, told = _post(client, packed, spoil(PACK[packed](BODY)))
    assert (status, packed.name.lower() in told) == (400, True)


@BOTH
def test_very_many_empty_members_or_frames_are_refused(packed: Packing) -> None:
    with pytest.raises(HTTPException, match="more than 100") as refused:
        unpack(PACK[packed](b"") * 101, packed, 1_000)
    assert refused.value.status_code == 400


@BOTH
def test_a_compressed_body_without_its_header_is_told_which_to_add(
    client: TestClient, packed: Packing
) -> None:
    response = client.post(URL, content=PACK[packed](BODY))
    assert response.status_code == 415
    assert f"Content-Encoding: {packed.name.lower()}" in response.json()["detail"]


@pytest.mark.parametrize(
    ("header", "packed"),
    [("", Packing.NONE), ("identity", Packing.NONE), (" GZIP ", Packing.GZIP)],
)
def test_content_encodings_are_read_as_http_has_them(header: str, packed: Packing) -> None:
    assert packing(header) is packed
