"""Compressed pictures: decoded, or refused before anything large is made of a small claim."""

from __future__ import annotations

import struct
import zlib
from array import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError
from vla_ros.ros.compressed_images import (
    check_compressed,
    compressed_from_frame,
    frame_from_compressed,
)

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
# Smooth, so that JPEG loses little.
RAMP = np.stack(np.broadcast_arrays(*np.ix_(range(40, 200, 4), range(50, 200, 3), [90])), -1)
RAMP = np.ascontiguousarray(RAMP[:, :, 0], np.uint8)


def encoded(rgb: np.ndarray, kind: str, *options: int) -> bytes:
    return cv2.imencode(kind, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), list(options))[1].tobytes()


def compressed(data: bytes, form: str = "rgb8; jpeg compressed bgr8") -> CompressedImage:
    msg = CompressedImage(format=form, data=array("B", data))
    msg.header.stamp.sec = 4
    return msg


def test_a_png_gives_its_exact_pixels_in_rgb():
    frame = frame_from_compressed(compressed(encoded(RGB, ".png"), "bgr8; png compressed bgr8"))
    np.testing.assert_array_equal(frame.pixels, RGB)
    assert frame.stamp_s == 4.0


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_gives_its_pixels_nearly(progressive):
    data = encoded(RAMP, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    pixels = frame_from_compressed(compressed(data)).pixels
    assert np.abs(pixels.astype(int) - RAMP).max() <= 6


def test_what_we_compress_ourselves_comes_back():
    msg = compressed_from_frame(Frame(pixels=RAMP, stamp_s=1.5), "front_optical")
    assert msg.header.frame_id == "front_optical"
    frame = frame_from_compressed(msg)
    assert np.abs(frame.pixels.astype(int) - RAMP).max() <= 6
    assert frame.stamp_s == 1.5


def test_a_grey_picture_becomes_three_equal_channels():
    data = cv2.imencode(".png", RGB[..., 0])[1].tobytes()
    pixels = frame_from_compressed(compressed(data, "mono8; png compressed mono8")).pixels
    np.testing.assert_array_equal(pixels, np.repeat(RGB[..., :1], 3, axis=2))


def test_padding_behind_a_jpeg_does_no_harm():
    assert frame_from_compressed(compressed(encoded(RAMP, ".jpg") + bytes(64))).pixels.any()


def huge_png(width_px: int, height_px: int) -> bytes:
    """A whole PNG of a few bytes that claims to be of that size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def huge_jpeg(width_px: int, height_px: int) -> bytes:
    """The picture, with another size in its header."""
    data = bytearray(encoded(RAMP, ".jpg"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height_px, width_px)
    return bytes(data)


@pytest.mark.parametrize("make", [huge_png, huge_jpeg])
def test_an_enormous_picture_is_refused_by_its_header_alone(make):
    with pytest.raises(ImageError, match="60000 x 50000 pixels is too large"):
        check_compressed(compressed(make(60000, 50000)))


@pytest.mark.parametrize(
    ("data", "form", "reason"),
    [
        (b"", "jpeg", "is empty"),
        (b"GIF89a", "gif", "neither JPEG nor PNG; it begins 47 49 46 38"),
        (encoded(RAMP, ".jpg")[:-2], "jpeg", "JPEG is cut short"),
        (encoded(RAMP, ".jpg")[:200], "jpeg", "JPEG is cut short"),
        (encoded(RGB, ".png")[:-12], "png", "PNG is cut short"),
        (huge_png(0, 5), "png", "claims a size of 0 x 5"),
        (huge_png(50, 50), "png", "cannot be decoded"),
        (encoded(RGB, ".png"), "16UC1; compressedDepth png", "is a depth image"),
    ],
)
def test_a_broken_picture_is_refused(data, form, reason):
    with pytest.raises(ImageError, match=reason):
        frame_from_compressed(compressed(data, form))


def test_a_picture_without_stamp_is_refused():
    msg = compressed(encoded(RGB, ".png"))
    msg.header.stamp.sec = 0
    with pytest.raises(ImageError, match="no stamp"):
        check_compressed(msg)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([".jpg", ".png"]),
    at=st.integers(0, 300),
    dirt=st.binary(min_size=1, max_size=8),
)
def test_whatever_is_wrong_with_the_bytes_it_is_a_picture_or_refused(kind, at, dirt):
    data = bytearray(encoded(RAMP, kind))
    data[at : at + len(dirt)] = dirt
    try:
        frame = frame_from_compressed(compressed(bytes(data)), max_pixels=100_000)
    except ImageError:
        return
    assert frame.pixels.ndim == 3
    assert frame.pixels.size <= 300_000
