from __future__ import annotations

from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vla_ros.errors import MessageError
from vla_ros.policy import codec

DTYPES = [np.bool_, np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64, ">f8", ">i4"]


def array(data: object = b"\0" * 8, dtype: object = "<f8", shape: object = (1,)) -> bytes:
    """A message of one array, as somebody could write it by hand."""
    packed = {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}
    return msgpack.packb({"x": packed})


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(DTYPES).flatmap(lambda d: npst.arrays(d, npst.array_shapes(min_side=0))))
def test_an_array_comes_back_as_it_was(value):
    back = codec.unpack(codec.pack({"x": value}))["x"]
    assert back.dtype == value.dtype
    assert back.shape == value.shape
    assert back.tobytes() == value.tobytes()


def test_everything_else_that_is_allowed_comes_back():
    message = {"a": [1, 2.5, None, True, "text"], "b": {"c": -(2**40)}, "d": b"bytes"}
    assert codec.unpack(codec.pack(message)) == message
    scalar = codec.unpack(codec.pack({"x": np.float32(1.5)}))["x"]
    assert type(scalar) is np.float32
    assert scalar == 1.5


def test_a_view_with_strides_is_packed_in_order():
    value = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[:, ::-2]
    assert (codec.unpack(codec.pack(value)) == value).all()


@pytest.mark.parametrize(
    "value", [np.array([object()]), np.array(["a"]), np.array(1j), np.zeros(1, "M8[s]"), object()]
)
def test_what_is_no_number_is_not_packed(value):
    with pytest.raises(MessageError, match="valid: "):
        codec.pack({"x": value})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (array(dtype="|O"), "dtype '|O'"),
        (array(dtype="|V8"), "dtype"),
        (array(dtype="<U2"), "dtype"),
        (array(dtype="<M8[s]"), "dtype"),
        (array(dtype=[["a", "<f8"]]), "dtype"),
        (array(dtype=b"<f8"), "dtype"),
        (array(shape=(2,)), "has 16 bytes, got 8"),
        (array(shape=(2**40, 2**40)), "got 8"),
        (array(shape=(-1, -1)), "shape"),
        (array(shape=(True,)), "shape"),
        (array(shape=[1] * 9), "at most 8 sizes"),
        (array(shape=None), "shape"),
        (array(data="12345678"), "needs bytes"),
        (array()[:-4], "no msgpack"),
        (array() + b"x", "no msgpack"),
        (b"", "no msgpack"),
        (b"\xc1", "no msgpack"),
        (b"\x91" * 100_000, "no msgpack"),
        (msgpack.packb(msgpack.ExtType(4, b"cos\nsystem")), "no msgpack"),
        (msgpack.packb({"x": [0] * 5000}), "no msgpack"),
        (msgpack.packb({"x": [[]] * 2000}), "more than 1024"),
        (msgpack.packb({b"__npgeneric__": True, b"data": "1", b"dtype": "<f8"}), "a number"),
        (msgpack.packb({b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"}), "no msgpack"),
        (b"\xdd\xff\xff\xff\xff", "no msgpack"),
        (b"\xdf\xff\xff\xff\xff", "no msgpack"),
        (b"\xc6\xff\xff\xff\xff", "no msgpack"),
        (b"\0" * (codec.MAX_MESSAGE_BYTES + 1), "at most"),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(content, complaint):
    with pytest.raises(MessageError, match=complaint.replace("|", r"\|")):
        codec.unpack(content)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_never_raises_anything_else(content):
    with suppress(MessageError):
        codec.unpack(content)


def test_a_huge_claim_takes_no_memory():
    import tracemalloc

    tracemalloc.start()
    for claim in (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", array(shape=(2**30,))):
        with pytest.raises(MessageError):
            codec.unpack(claim)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
