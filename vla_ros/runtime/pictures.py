"""Tells a camera that sees from one that is black, or shows the same picture again and again."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray, Frame, ImageArray

# A covered lens still has a little noise; a lit scene, however dim, has a brighter pixel.
BLACK_BELOW = 16
_COARSE = 16


class PictureWatch:
    """Looks at every picture of one camera.

    A sensor's noise makes every picture differ from the one before. A simulation has no noise: its
    pictures are the same while nothing moves in them. So a picture that stays the same counts as
    frozen only once the arm has moved under it.

    Attributes:
        trouble: What is wrong with the newest pictures; empty when nothing is.
    """

    def __init__(self, frozen_after_rad: float) -> None:
        self.trouble = ""
        self._frozen_after_rad = frozen_after_rad
        self._first: Frame | None = None
        self._from_rad: FloatArray | None = None

    def admit(self, frame: Frame, position_rad: FloatArray | None) -> Frame | None:
        """The picture to use: none for a black one, and for a frozen one the first of its kind.

        Args:
            frame: The newest picture.
            position_rad: Measured joint positions (J,); `None` before the first.
        """
        if _is_black(frame.pixels):
            self.trouble = "its newest pictures are black"
            return None
        if self._first is None or not _are_same(self._first.pixels, frame.pixels):
            self.trouble, self._first, self._from_rad = "", frame, position_rad
            return frame
        if self._from_rad is None or position_rad is None:
            self._from_rad = position_rad
            return frame
        moved_rad = float(np.abs(position_rad - self._from_rad).max())
        if moved_rad >= self._frozen_after_rad and not self._is_frozen:
            self.trouble = (
                f"it is frozen: the same picture to the bit while a joint moved by "
                f"{moved_rad:.2f} rad, limit {self._frozen_after_rad:g} rad"
            )
        return self._first if self._is_frozen else frame

    @property
    def _is_frozen(self) -> bool:
        return self.trouble.startswith("it is frozen")


def _is_black(pixels: ImageArray) -> bool:
    # A living camera is told by a few of its pixels.
    is_dark = pixels[::_COARSE, ::_COARSE].max() < BLACK_BELOW
    return bool(is_dark and pixels.max() < BLACK_BELOW)


def _are_same(one: ImageArray, other: ImageArray) -> bool:
    if one.shape != other.shape:
        return False
    coarse = slice(None, None, _COARSE)
    return np.array_equal(one[coarse, coarse], other[coarse, coarse]) and np.array_equal(one, other)
