"""How the encodings of sensor_msgs/Image lay pixels out, and how each becomes 8-bit RGB.

The names are those of `sensor_msgs/image_encodings.hpp`. Bayer names give the first pixels of the
first two rows; OpenCV's name the second and third pixel of the second row, hence the swapped pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.datatypes import ImageArray


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """One encoding.

    Attributes:
        channels: Numbers a pixel in a row of the message.
        bits: Of each number: 8 or 16.
        to_rgb: OpenCV's conversion to RGB; `None` when it is RGB already.
        even: What must be even: nothing, `width`, or `width and height`.
        smallest_px: Smallest width and height; a mosaic below 3 has pixels without neighbours.
        rows_per_two: Rows of the message for each two of the picture; 3 where colour planes follow.
    """

    channels: int
    bits: int = 8
    to_rgb: int | None = None
    even: str = ""
    smallest_px: int = 1
    rows_per_two: int = 2

    def row_bytes(self, width_px: int) -> int:
        """Bytes of a row without padding."""
        return width_px * self.channels * self.bits // 8

    def row_count(self, height_px: int) -> int:
        """Rows of the message."""
        return height_px * self.rows_per_two // 2

    def is_divisible(self, height_px: int, width_px: int) -> bool:
        """Whether a picture of that size can be of this encoding."""
        return not (
            ("width" in self.even and width_px % 2) or ("height" in self.even and height_px % 2)
        )

    def rgb(self, rows: NDArray[np.uint8], width_px: int, *, big_endian: bool) -> ImageArray:
        """Pixels (H, W, 3) of the message's rows (R, step), padding and all."""
        values: NDArray[Any] = rows[:, : self.row_bytes(width_px)]
        if self.bits == 16:
            # A padded row of 16-bit numbers is no array of them before it is copied.
            words = np.ascontiguousarray(values).view(">u2" if big_endian else "<u2")
            values = words.astype(np.uint16)
        if self.channels > 1:
            values = values.reshape(len(rows), width_px, self.channels)
        if self.to_rgb is not None:
            values = cv2.cvtColor(values, self.to_rgb)
        return np.ascontiguousarray(_to_8_bits(values) if self.bits == 16 else values, np.uint8)


def _to_8_bits(values: NDArray[np.uint16]) -> ImageArray:
    """Divide by 257, rounded: 65535 becomes 255, as cv_bridge has it."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _colours(bits: int) -> dict[str, PixelFormat]:
    def colour(channels: int, to_rgb: int | None = None) -> PixelFormat:
        return PixelFormat(channels=channels, bits=bits, to_rgb=to_rgb)

    def bayer(to_rgb: int) -> PixelFormat:
        return PixelFormat(channels=1, bits=bits, to_rgb=to_rgb, smallest_px=3)

    return {
        f"rgb{bits}": colour(3),
        f"bgr{bits}": colour(3, cv2.COLOR_BGR2RGB),
        f"rgba{bits}": colour(4, cv2.COLOR_RGBA2RGB),
        f"bgra{bits}": colour(4, cv2.COLOR_BGRA2RGB),
        f"mono{bits}": colour(1, cv2.COLOR_GRAY2RGB),
        f"bayer_rggb{bits}": bayer(cv2.COLOR_BayerBG2RGB),
        f"bayer_bggr{bits}": bayer(cv2.COLOR_BayerRG2RGB),
        f"bayer_gbrg{bits}": bayer(cv2.COLOR_BayerGR2RGB),
        f"bayer_grbg{bits}": bayer(cv2.COLOR_BayerGB2RGB),
    }


def _interleaved(to_rgb: int) -> PixelFormat:
    """Two pixels in four bytes, which share their colour."""
    return PixelFormat(channels=2, to_rgb=to_rgb, even="width")


def _planar(to_rgb: int) -> PixelFormat:
    """Brightness, then half as many rows of colour, one for four pixels."""
    return PixelFormat(channels=1, to_rgb=to_rgb, even="width and height", rows_per_two=3)


_UYVY, _YUYV = _interleaved(cv2.COLOR_YUV2RGB_UYVY), _interleaved(cv2.COLOR_YUV2RGB_YUY2)

FORMATS = {
    **_colours(8),
    **_colours(16),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _planar(cv2.COLOR_YUV2RGB_NV12),
    "nv21": _planar(cv2.COLOR_YUV2RGB_NV21),
}
"""By name; YUV is of ITU-R BT.601 in its limited range, as OpenCV takes it."""
