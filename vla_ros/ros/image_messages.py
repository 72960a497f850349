"""Image messages to frames and back; what a message claims is checked before anything is copied.

An encoding that is not in `pixel_formats` goes through the distro's cv_bridge, where that is there.
"""

from __future__ import annotations

from array import array
from importlib import import_module

import numpy as np
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from sensor_msgs.msg import Image

from vla_ros.datatypes import Frame, ImageArray
from vla_ros.errors import ImageError
from vla_ros.ros.convert import seconds_from_stamp, stamp_from_seconds, stamp_problem
from vla_ros.ros.pixel_formats import FORMATS, PixelFormat

MAX_PIXELS = 4096 * 2160


def frame_from_msg(msg: Image, max_pixels: int = MAX_PIXELS) -> Frame:
    """Decode an image message; an unpadded `rgb8` image is not copied.

    Args:
        msg: Image of an encoding of `FORMATS`, rows of `step` bytes.
        max_pixels: Larger images are refused before any copy.

    Raises:
        ImageError: The message is empty, enormous, not stamped, of an unknown encoding, or its
            sizes disagree.
    """
    form = FORMATS.get(msg.encoding)
    problem = _size_problem(msg, max_pixels) or stamp_problem("image", msg.header.stamp)
    if problem:
        raise ImageError(problem)
    pixels = _bridged(msg) if form is None else _decoded(msg, form)
    return Frame(pixels=pixels, stamp_s=seconds_from_stamp(msg.header.stamp))


def image_from_frame(frame: Frame, frame_id: str) -> Image:
    """Encode a frame as an `rgb8` message."""
    height, width = frame.pixels.shape[:2]
    msg = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
    msg.header.stamp = stamp_from_seconds(frame.stamp_s)
    msg.header.frame_id = frame_id
    # A NumPy array given to Image.data is checked element by element: 130 ms at VGA, not 0.6.
    msg.data = array("B", frame.pixels.tobytes())
    return msg


def too_large(width_px: int, height_px: int, max_pixels: int) -> str:
    """Why a picture of that size is not taken; empty when it is."""
    if width_px * height_px <= max_pixels:
        return ""
    return (
        f"image of {width_px} x {height_px} pixels is too large; at most {max_pixels} pixels are "
        "taken"
    )


def _size_problem(msg: Image, max_pixels: int) -> str:
    if msg.width == 0 or msg.height == 0 or len(msg.data) == 0:
        return (
            f"image is empty: {msg.width} x {msg.height} pixels, encoding {msg.encoding!r}, "
            f"{len(msg.data)} bytes"
        )
    return too_large(msg.width, msg.height, max_pixels)


def _decoded(msg: Image, form: PixelFormat) -> ImageArray:
    problem = _layout_problem(msg, form)
    if problem:
        raise ImageError(problem)
    rows = np.frombuffer(msg.data, np.uint8).reshape(form.row_count(msg.height), msg.step)
    return form.rgb(rows, msg.width, big_endian=bool(msg.is_bigendian))


def _layout_problem(msg: Image, form: PixelFormat) -> str:
    size = f"{msg.width} x {msg.height}"
    if msg.is_bigendian and form.bits == 8:
        return f"image of encoding {msg.encoding!r} says it is big-endian; set is_bigendian to 0"
    if not form.is_divisible(msg.height, msg.width):
        return f"image of encoding {msg.encoding!r} is {size}; its {form.even} must be even"
    if min(msg.width, msg.height) < form.smallest_px:
        return f"image of encoding {msg.encoding!r} is {size}; valid: from {form.smallest_px} on"
    if msg.step < form.row_bytes(msg.width):
        return (
            f"image step is {msg.step}, but a row of {msg.width} pixels of {msg.encoding} takes "
            f"{form.row_bytes(msg.width)} bytes"
        )
    rows = form.row_count(msg.height)
    if len(msg.data) != msg.step * rows:
        what = f"height {rows}" if rows == msg.height else f"{rows} rows"
        return f"image has {len(msg.data)} bytes, but step {msg.step} x {what} is {msg.step * rows}"
    return ""


def _bridged(msg: Image) -> ImageArray:
    """Pixels by the distro's cv_bridge. PyPI's package of that name reads images wrongly."""
    unknown = f"image encoding {msg.encoding!r} is unknown; valid: {', '.join(FORMATS)}"
    try:
        get_package_prefix("cv_bridge")
        bridge = import_module("cv_bridge").CvBridge()
    except (PackageNotFoundError, ImportError) as error:
        cure = "others through cv_bridge (apt install ros-$ROS_DISTRO-cv-bridge)"
        raise ImageError(f"{unknown}; {cure}") from error
    try:
        pixels = np.asarray(bridge.imgmsg_to_cv2(msg, "rgb8"))
    # The edge of a library whose errors are its own, OpenCV's and NumPy's.
    except Exception as error:
        raise ImageError(f"{unknown}; cv_bridge says: {error}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (msg.height, msg.width, 3):
        raise ImageError(f"{unknown}; cv_bridge made {pixels.dtype} {pixels.shape} of it")
    return np.ascontiguousarray(pixels)
