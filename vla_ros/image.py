"""Resize a picture the way the checkpoint declares, the same in training and at run time."""

from __future__ import annotations

import cv2
import numpy as np

from vla_ros.datatypes import ImageArray
from vla_ros.errors import ImageError

RESIZE_MODES = ("letterbox", "crop")


def resize(pixels: ImageArray, height_px: int, width_px: int, mode: str) -> ImageArray:
    """Return `pixels` (H, W, 3) as uint8 (height_px, width_px, 3), never stretched.

    Shrinking averages over the area of each target pixel.

    Args:
        pixels: uint8 (H, W, 3) RGB.
        height_px: Height of the result.
        width_px: Width of the result.
        mode: `letterbox` keeps the whole picture and pads with black; `crop` fills the result and
            cuts what hangs over.

    Raises:
        ImageError: `mode` is unknown.
    """
    if mode not in RESIZE_MODES:
        raise ImageError(f"resize mode {mode!r} is unknown; valid: {', '.join(RESIZE_MODES)}")
    height, width = pixels.shape[:2]
    if (height, width) == (height_px, width_px):
        return pixels
    pick = min if mode == "letterbox" else max
    scale = pick(height_px / height, width_px / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, size, interpolation=interpolation)
    return _fit(np.asarray(scaled, np.uint8), height_px, width_px)


def _fit(pixels: ImageArray, height_px: int, width_px: int) -> ImageArray:
    """Centre `pixels` in a black picture of the wanted size, cutting what hangs over."""
    height, width = pixels.shape[:2]
    top, left = (height_px - height) // 2, (width_px - width) // 2
    pixels = pixels[max(0, -top) :, max(0, -left) :][:height_px, :width_px]
    result = np.zeros((height_px, width_px, 3), np.uint8)
    top, left = max(0, top), max(0, left)
    result[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return result
