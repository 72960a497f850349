"""Write words on pictures: films, stills and the node's debug image. ASCII only, as OpenCV does."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vla_ros.datatypes import ImageArray


def label(picture: ImageArray, text: str) -> ImageArray:
    """A copy of `picture` with `text` in its upper left corner."""
    copy = np.ascontiguousarray(picture).copy()
    for color, shift_px in (((0, 0, 0), 1), ((255, 255, 255), 0)):
        place = (8 + shift_px, 20 + shift_px)
        cv2.putText(copy, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
    return copy


def beside(pictures: Sequence[ImageArray], lines: Sequence[str]) -> ImageArray:
    """Pictures of one height side by side, with lines of text below."""
    strip = np.hstack(list(pictures))
    band = np.full((_even(18 * len(lines) + 8), strip.shape[1], 3), 255, np.uint8)
    for index, text in enumerate(lines):
        place = (6, 18 * (index + 1))
        cv2.putText(band, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
    return np.vstack([strip, band])


def _even(size_px: int) -> int:
    return size_px + size_px % 2
