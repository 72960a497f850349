"""Take the lens's distortion out of pictures, by the camera_info that comes with them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError

Maps = tuple[NDArray[np.generic], NDArray[np.generic]]

_MODELS = ("plumb_bob", "rational_polynomial", "equidistant")
# What OpenCV takes for the two polynomial models.
_COEFFICIENTS = (4, 5, 8, 12, 14)


class Rectifier:
    """Rectifies pictures as image_proc does; the maps are kept until the calibration changes."""

    def __init__(self) -> None:
        self._info: CameraInfo | None = None
        self._mapped: tuple[CameraInfo, Maps] | None = None

    def set_info(self, info: CameraInfo) -> None:
        """Take a calibration; the same one again costs nothing.

        Raises:
            ImageError: It is none: not calibrated, of an unknown model, or of wrong numbers.
        """
        if self._info is not None and _numbers(info) == _numbers(self._info):
            return
        self._info = None
        _check(info)
        self._info = info

    def rectified(self, frame: Frame) -> Frame:
        """The picture without distortion; another thread than that of `set_info` may ask.

        Raises:
            ImageError: There is no calibration yet, or it is for pictures of another size.
        """
        info = self._info
        if info is None:
            raise ImageError("no usable camera_info has arrived yet, which rectify needs")
        height_px, width_px = frame.pixels.shape[:2]
        if (width_px, height_px) != (info.width, info.height):
            raise ImageError(
                f"image of {width_px} x {height_px} pixels, but its camera_info is for "
                f"{info.width} x {info.height}"
            )
        if self._mapped is None or self._mapped[0] is not info:
            self._mapped = info, _maps(info)
        pixels = cv2.remap(frame.pixels, *self._mapped[1], cv2.INTER_LINEAR)
        return replace(frame, pixels=np.asarray(pixels, np.uint8))


def _numbers(info: CameraInfo) -> tuple[object, ...]:
    arrays = (tuple(values) for values in (info.d, info.k, info.r, info.p))
    return (info.width, info.height, info.distortion_model, *arrays)


def _check(info: CameraInfo) -> None:
    model, count = info.distortion_model, len(info.d)
    values = np.array([*info.d, *info.k, *info.r, *info.p])
    if not np.isfinite(values).all():
        raise ImageError("camera_info holds numbers that are not finite")
    if info.k[0] <= 0 or info.k[4] <= 0 or info.p[0] <= 0 or info.p[5] <= 0:
        raise ImageError("camera_info is not calibrated: a focal length in k or p is not above 0")
    if model not in _MODELS:
        raise ImageError(f"camera_info has distortion_model {model!r}; valid: {', '.join(_MODELS)}")
    if count not in ((4,) if model == "equidistant" else _COEFFICIENTS):
        raise ImageError(f"camera_info has {count} coefficients d for the model {model}")


def _maps(info: CameraInfo) -> Maps:
    """Where each pixel of the rectified picture comes from."""
    k, r, d = np.reshape(info.k, (3, 3)), np.reshape(info.r, (3, 3)), np.array(info.d)
    p, size = np.reshape(info.p, (3, 4))[:, :3], (info.width, info.height)
    if not r.any():
        r = np.eye(3)
    if info.distortion_model == "equidistant":
        return cv2.fisheye.initUndistortRectifyMap(k, d, r, p, size, cv2.CV_16SC2)
    return cv2.initUndistortRectifyMap(k, d, r, p, size, cv2.CV_16SC2)
