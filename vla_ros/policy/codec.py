"""The bytes between a policy server and its clients: msgpack with numpy arrays, as openpi packs it.

An array is a map of `__ndarray__`, `data`, `dtype` and `shape`, a numpy scalar one of
`__npgeneric__`, `data` and `dtype`, with keys as bytes (openpi_client/msgpack_numpy.py). What comes
in is from anybody: numbers only, nothing that could run, and every size is checked before memory is
taken for it.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from vla_ros.errors import MessageError

MAX_MESSAGE_BYTES = 16 * 2**20
"""Larger messages are refused; two pictures of 1080p have 12 MiB."""

_ARRAY, _SCALAR, _DATA, _DTYPE, _SHAPE = (
    b"__ndarray__",
    b"__npgeneric__",
    b"data",
    b"dtype",
    b"shape",
)
# Booleans, integers and floats of fixed size: no objects, records, texts or times.
_DTYPES = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_MAX_DIMENSIONS = 8
# Generous for observations and metadata; they bound what a small message can make of memory.
_MAX_ENTRIES, _MAX_ITEMS, _MAX_TEXT_BYTES, _MAX_CONTAINERS = 256, 4096, 2**18, 1024
_REFUSED = (msgpack.UnpackException, ValueError, TypeError, OverflowError, RecursionError)


def pack(message: object) -> bytes:
    """Return the bytes of `message`: maps, lists, texts, numbers and arrays.

    Raises:
        MessageError: It holds something else.
    """
    try:
        packed: bytes = msgpack.packb(message, default=_pack_array)
    except (TypeError, ValueError, OverflowError) as error:
        raise MessageError(f"cannot be packed: {error}") from error
    return packed


def unpack(content: bytes) -> Any:
    """Return the message in `content`; its arrays are read-only and share memory with nothing.

    Raises:
        MessageError: It is cut short, no msgpack, too large, or holds what is not allowed.
    """
    if len(content) > MAX_MESSAGE_BYTES:
        raise MessageError(
            f"the message has {len(content)} bytes; valid: at most {MAX_MESSAGE_BYTES}"
        )
    census = _Census()
    try:
        return msgpack.unpackb(
            content,
            object_hook=census.map,
            list_hook=census.list,
            max_map_len=_MAX_ENTRIES,
            max_array_len=_MAX_ITEMS,
            max_str_len=_MAX_TEXT_BYTES,
            max_ext_len=0,
        )
    except _REFUSED as error:
        text = str(error) or type(error).__name__
        raise MessageError(f"the message is no msgpack of numbers and arrays: {text}") from error


class _Census:
    """Turns maps into arrays, and counts containers: a message of nothing but `[` grows huge."""

    def __init__(self) -> None:
        self._count = 0

    def list(self, items: list[Any]) -> list[Any]:
        """Count a list."""
        self._count_one()
        return items

    def map(self, entries: dict[Any, Any]) -> Any:
        """Count a map; give the array or scalar that it stands for."""
        self._count_one()
        if _ARRAY in entries:
            return _unpack_array(entries)
        return _unpack_scalar(entries) if _SCALAR in entries else entries

    def _count_one(self) -> None:
        self._count += 1
        if self._count > _MAX_CONTAINERS:
            raise MessageError(f"more than {_MAX_CONTAINERS} lists and maps")


def _pack_array(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic) and not _DTYPES.fullmatch(value.dtype.str):
        raise MessageError(f"an array of {value.dtype}; valid: booleans, integers and floats")
    if isinstance(value, np.ndarray):
        # A view in place of `tobytes()`: a copy less of every picture.
        data = np.ascontiguousarray(value).data.cast("B") if value.size else b""
        return {_ARRAY: True, _DATA: data, _DTYPE: value.dtype.str, _SHAPE: value.shape}
    if isinstance(value, np.generic):
        return {_SCALAR: True, _DATA: value.item(), _DTYPE: value.dtype.str}
    raise MessageError(f"a {type(value).__name__}; valid: maps, lists, texts, numbers and arrays")


def _unpack_array(entries: dict[Any, Any]) -> NDArray[Any]:
    data, shape, dtype = entries.get(_DATA), _shape(entries), _dtype(entries)
    if not isinstance(data, bytes) or shape is None:
        raise MessageError(
            f"an array needs bytes and at most {_MAX_DIMENSIONS} sizes, got "
            f"{type(data).__name__} and shape {str(entries.get(_SHAPE))[:80]}"
        )
    wanted = math.prod(shape) * dtype.itemsize
    if len(data) != wanted:
        raise MessageError(f"an array of {dtype} {shape} has {wanted} bytes, got {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape)


def _unpack_scalar(entries: dict[Any, Any]) -> np.generic:
    value, dtype = entries.get(_DATA), _dtype(entries)
    if not isinstance(value, bool | int | float):
        raise MessageError(f"a numpy scalar needs a number, got a {type(value).__name__}")
    return cast(np.generic, np.array(value, dtype)[()])


def _dtype(entries: dict[Any, Any]) -> np.dtype[Any]:
    name = entries.get(_DTYPE)
    if not isinstance(name, str) or not _DTYPES.fullmatch(name):
        raise MessageError(
            f"an array of dtype {str(name)[:40]!r}; valid: booleans, integers and floats of fixed "
            "size, such as |u1 and <f8"
        )
    return np.dtype(name)


def _shape(entries: dict[Any, Any]) -> tuple[int, ...] | None:
    """The shape of an array; `None` when it is none."""
    shape = entries.get(_SHAPE)
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        return None
    return tuple(shape) if all(type(size) is int and size >= 0 for size in shape) else None
