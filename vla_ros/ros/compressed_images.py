"""Compressed image messages (JPEG, PNG) to frames.

The picture's size is read from its header first, so that a few bytes cannot claim a gigabyte.
"""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError
from vla_ros.ros.convert import seconds_from_stamp, stamp_from_seconds, stamp_problem
from vla_ros.ros.image_messages import MAX_PIXELS, too_large

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND"
# Start of frame, all kinds of coding; the other markers of that range are tables.
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_QUALITY = 90


def frame_from_compressed(msg: CompressedImage, max_pixels: int = MAX_PIXELS) -> Frame:
    """Decode a compressed image message; takes milliseconds, so call it beside the tick.

    Raises:
        ImageError: As `check_compressed`, or the picture is broken.
    """
    check_compressed(msg, max_pixels)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(msg.data, np.uint8), flags)
    if pixels is None:
        raise ImageError(f"{_name(msg)} is broken: it cannot be decoded")
    rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return Frame(pixels=rgb, stamp_s=seconds_from_stamp(msg.header.stamp))


def check_compressed(msg: CompressedImage, max_pixels: int = MAX_PIXELS) -> None:
    """Look at a message's header alone, which takes microseconds.

    Raises:
        ImageError: The message is empty, not stamped, neither JPEG nor PNG, cut short, or its
            picture is enormous.
    """
    data = bytes(msg.data)
    if not data:
        raise ImageError(f"compressed image is empty, format {msg.format!r}")
    width_px, height_px = _size(data, msg)
    problem = too_large(width_px, height_px, max_pixels)
    problem = problem or stamp_problem("compressed image", msg.header.stamp)
    if problem:
        raise ImageError(problem)


def compressed_from_frame(frame: Frame, frame_id: str) -> CompressedImage:
    """Encode a frame as a JPEG message, as image_transport does."""
    bgr = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    msg = CompressedImage(format="rgb8; jpeg compressed bgr8")
    msg.header.stamp = stamp_from_seconds(frame.stamp_s)
    msg.header.frame_id = frame_id
    msg.data = array("B", data.tobytes())
    return msg


def _size(data: bytes, msg: CompressedImage) -> tuple[int, int]:
    """Width and height that the header of the picture claims."""
    if "compressedDepth" in msg.format:
        raise ImageError(f"{_name(msg)} is a depth image; give a colour camera's topic")
    if data.startswith(_JPEG):
        return _jpeg_size(data, msg)
    if data.startswith(_PNG):
        return _png_size(data, msg)
    raise ImageError(f"{_name(msg)} is neither JPEG nor PNG; it begins {data[:4].hex(' ')}")


def _jpeg_size(data: bytes, msg: CompressedImage) -> tuple[int, int]:
    """Walk the segments up to the scan; decoders fill in grey where the end is missing."""
    size, position = None, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        kind = data[position + 1]
        if kind == 0xFF:  # a fill byte
            position += 1
            continue
        if kind in _JPEG_SIZES and position + 9 <= len(data):
            height_px = int.from_bytes(data[position + 5 : position + 7], "big")
            size = int.from_bytes(data[position + 7 : position + 9], "big"), height_px
        if kind == _JPEG_SCAN and size is not None and data.find(_JPEG_END, position) > 0:
            return _checked(size, msg)
        if kind == _JPEG_SCAN:
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ImageError(f"{_name(msg)} is broken: the JPEG is cut short or has no size")


def _png_size(data: bytes, msg: CompressedImage) -> tuple[int, int]:
    if len(data) < 24 or data[12:16] != b"IHDR" or _PNG_END not in data[-16:]:
        raise ImageError(f"{_name(msg)} is broken: the PNG is cut short or has no size")
    width_px, height_px = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    return _checked((width_px, height_px), msg)


def _checked(size: tuple[int, int], msg: CompressedImage) -> tuple[int, int]:
    if 0 in size:
        raise ImageError(f"{_name(msg)} claims a size of {size[0]} x {size[1]} pixels")
    return size


def _name(msg: CompressedImage) -> str:
    return f"compressed image of {len(msg.data)} bytes, format {msg.format!r},"
