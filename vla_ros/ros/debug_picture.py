"""The picture on `~/debug/image`: what the model gets, where its words look, and what goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from vla_ros.datatypes import FloatArray, Frame, ImageArray
from vla_ros.drawing import beside, label
from vla_ros.image import resize
from vla_ros.policy_protocol import CameraSpec

_HEIGHT_PX = 320
_GREY = (90, 90, 90)
# Times the share that each cell had if the words looked everywhere alike.
_FULL_RED = 5.0


def debug_picture(
    cameras: Sequence[CameraSpec],
    frames: Mapping[str, Frame],
    attention: Mapping[str, FloatArray],
    lines: Sequence[str],
) -> ImageArray:
    """Draw.

    Args:
        cameras: Those of the policy, as it wants them.
        frames: By camera; one that has sent nothing yet is drawn grey.
        attention: By camera, shape (rows, columns), as `AttentivePolicy.attention` gives it; empty
            leaves it away.
        lines: Text to write below.
    """
    views = [_view(camera, frames.get(camera.name), attention) for camera in cameras]
    return beside(views, lines) if views else beside([_blank(_HEIGHT_PX)], lines)


def _view(
    camera: CameraSpec, frame: Frame | None, attention: Mapping[str, FloatArray]
) -> ImageArray:
    """One camera, enlarged so that its pixels are seen, as large as the others."""
    width_px = round(camera.width_px * _HEIGHT_PX / camera.height_px)
    if frame is None:
        return label(_blank(width_px), f"{camera.name}: no picture yet")
    model_view = resize(frame.pixels, camera.height_px, camera.width_px, camera.resize)
    size = (width_px, _HEIGHT_PX)
    view = np.asarray(cv2.resize(model_view, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if camera.name in attention:
        view = _tinted(view, attention[camera.name])
    return label(view, f"{camera.name}, {camera.width_px} x {camera.height_px}")


def _tinted(view: ImageArray, shares: FloatArray) -> ImageArray:
    """Red where the words look more than if they looked everywhere alike."""
    strength = np.clip((shares * shares.size - 1) / (_FULL_RED - 1), 0, 1).astype(np.float32)
    mask = cv2.resize(strength, view.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    red = np.array([255, 40, 0], np.float32)
    return np.asarray(view + (red - view) * (0.7 * mask), np.float32).astype(np.uint8)


def _blank(width_px: int) -> ImageArray:
    return np.full((_HEIGHT_PX, width_px, 3), _GREY, np.uint8)
