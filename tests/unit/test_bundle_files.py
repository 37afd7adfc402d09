"""The files of a bundle: arrays, and what is not taken for one."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faultline.bundle_files import pack, unpack
from faultline.errors import InvalidBundle


def an_npz(name: str = "x.npy", content: bytes | None = None, *, compressed: bool = False) -> bytes:
    if content is None:
        file = io.BytesIO()
        np.save(file, np.zeros(3))
        content = file.getvalue()
    archive = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(archive, "w", kind) as opened:
        opened.writestr(name, content)
    return archive.getvalue()


def npy_of(array: np.ndarray, *, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


def test_arrays_are_packed_and_unpacked_unchanged() -> None:
    arrays = {"a": np.array([[1.5, np.nan]]), "b": np.array([1, -2], dtype=np.int64)}
    unpacked = unpack("x.npz", pack(arrays))
    assert sorted(unpacked) == ["a", "b"]
    np.testing.assert_array_equal(unpacked["a"], arrays["a"])
    np.testing.assert_array_equal(unpacked["b"], arrays["b"])


@pytest.mark.parametrize("name", ["../x.npy", "/x.npy", "a/x.npy", "x.pkl", "x", ".npy"])
def test_a_member_with_another_name_than_an_array_is_refused(name: str) -> None:
    with pytest.raises(InvalidBundle, match="unexpected member"):
        unpack("x.npz", an_npz(name))


def test_a_zip_bomb_is_refused_unopened() -> None:
    bomb = an_npz(content=npy_of(np.zeros(1_000_000)), compressed=True)
    with pytest.raises(InvalidBundle, match="larger than the file"):
        unpack("x.npz", bomb)


def test_a_compressed_array_is_refused() -> None:
    noise = np.random.default_rng(0).random(1000)
    with pytest.raises(InvalidBundle, match="compressed"):
        unpack("x.npz", an_npz(content=npy_of(noise), compressed=True) + b"\0" * 500)


def test_an_array_of_objects_is_refused() -> None:
    pickled = npy_of(np.array([{"a": 1}], dtype=object), pickled=True)
    with pytest.raises(InvalidBundle, match="no npy"):
        unpack("x.npz", an_npz(content=pickled))


def test_a_shape_that_the_bytes_do_not_fill_is_refused() -> None:
    content = npy_of(np.zeros(3)).replace(b"(3,), }     ", b"(300000,), }")
    with pytest.raises(InvalidBundle, match=r"shape \(300000,\), but 24 bytes"):
        unpack("x.npz", an_npz(content=content))


def test_a_header_is_not_evaluated() -> None:
    content = npy_of(np.zeros(3)).replace(b"(3,), }          ", b"(3,), 'x': 1+1, }")
    with pytest.raises(InvalidBundle, match="no npy"):
        unpack("x.npz", an_npz(content=content))


def test_fewer_numbers_than_the_header_says_are_refused() -> None:
    with pytest.raises(InvalidBundle, match="16 bytes of numbers"):
        unpack("x.npz", an_npz(content=npy_of(np.zeros(3))[:-8]))


@given(position=st.integers(min_value=0), value=st.integers(0, 255))
def test_no_changed_byte_raises_anything_else(position: int, value: int) -> None:
    content = bytearray(pack({"a": np.arange(4.0), "b": np.arange(3)}))
    content[position % len(content)] = value
    try:
        arrays = unpack("x.npz", bytes(content))
    except InvalidBundle:
        return
    assert all(array.dtype in (np.float64, np.int64) for array in arrays.values())
