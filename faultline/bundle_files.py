"""A bundle's files on disk: read within bounds, and arrays packed so that nothing can be executed.

It knows folders, zip and npy; it must not know what the files mean.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from faultline.errors import InvalidBundle

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of any one file. Arrays are stored and not compressed, so it bounds them in memory too."""

_MAX_ARRAYS = 32
_UNREADABLE = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,  # an encrypted member
    OSError,
    EOFError,
    ValueError,
    struct.error,
)
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<descr><[fi]8)', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>\d{1,12},|\d{1,12}, \d{1,12})\), \} *\n",
    re.DOTALL,
)
"""What `numpy.save` writes for such arrays."""


def read_folder(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read a folder that must hold exactly these files.

    Raises
    ------
    InvalidBundle
        When a file is missing, too many, larger than `MAX_FILE_BYTES`, or no regular file.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries)
    except OSError as error:
        raise InvalidBundle(f"{folder}: cannot be read: {error.strerror}") from error
    if found != sorted(names):
        missing = sorted(set(names) - set(found))
        added = sorted(set(found) - set(names))
        raise InvalidBundle(
            f"{folder}: must hold {', '.join(sorted(names))}"
            + (f"; missing: {', '.join(missing)}" if missing else "")
            + (f"; not a part of it: {', '.join(map(repr, added[:5]))}" if added else "")
        )
    return {name: _read(folder / name) for name in names}


def _read(path: Path) -> bytes:
    """Read a file through one descriptor, so that what was checked is what is read."""
    try:
        # Neither follow a link out of the folder nor wait for whoever writes to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidBundle(f"{path.name}: cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidBundle(f"{path.name}: is no regular file")
        try:
            content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise InvalidBundle(f"{path.name}: cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidBundle(f"{path.name}: is larger than {MAX_FILE_BYTES} bytes")
    return content


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Put arrays into an npz, uncompressed. The same arrays give the same bytes."""
    file = io.BytesIO()
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    np.savez(file, allow_pickle=False, **ordered)
    return file.getvalue()


def unpack(name: str, content: bytes) -> dict[str, NDArray[Any]]:
    """Take an npz apart without trusting it.

    Parameters
    ----------
    name
        Of the file, for the messages.

    Returns
    -------
    dict
        Arrays of float64 or int64, at most two dimensions.

    Raises
    ------
    InvalidBundle
        When it is no zip, a member is compressed (its size could be anything), is no npy, or holds
        anything but such numbers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MAX_ARRAYS:
                raise InvalidBundle(f"{name}: holds {len(members)} arrays, at most {_MAX_ARRAYS}")
            # Members may overlap in a forged archive, and then add up to more than the file.
            if sum(member.file_size for member in members) > len(content):
                raise InvalidBundle(f"{name}: its arrays are larger than the file")
            arrays: dict[str, NDArray[Any]] = {}
            for member in members:
                key = member.filename.removesuffix(".npy")
                if key == member.filename or not key.isidentifier() or key in arrays:
                    raise InvalidBundle(f"{name}: unexpected member {member.filename!r}")
                if member.compress_type != zipfile.ZIP_STORED:
                    raise InvalidBundle(f"{name}: {key} is compressed; it must be stored as it is")
                arrays[key] = _array(f"{name}: {key}", archive.read(member))
    except _UNREADABLE as error:
        raise InvalidBundle(f"{name}: is no archive of arrays: {error}") from error
    return arrays


def _array(what: str, content: bytes) -> NDArray[Any]:
    # NumPy's own reader evaluates the header as Python; ours need not.
    header = _NPY.match(content)
    if header is None or header.end() - 10 != int.from_bytes(header["length"], "little"):
        raise InvalidBundle(f"{what} is no npy 1.0 of float64 or int64, in one or two dimensions")
    data = content[header.end() :]
    shape = tuple(int(length) for length in header["shape"].split(b",") if length.strip())
    if 8 * math.prod(shape) != len(data):
        raise InvalidBundle(f"{what} has the shape {shape}, but {len(data)} bytes of numbers")
    order: Literal["F", "C"] = "F" if header["fortran"] == b"True" else "C"
    return np.frombuffer(data, dtype=header["descr"].decode()).reshape(shape, order=order)
