"""Rectified pictures: straight lines are straight again, and bad calibrations are refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError
from vla_ros.ros.rectify import Rectifier

WIDTH, HEIGHT = 96, 64


def camera_info(d=(0.0,) * 5, model: str = "plumb_bob", **fields) -> CameraInfo:
    info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model=model, d=list(d))
    info.k = [80.0, 0.0, 47.5, 0.0, 80.0, 31.5, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [80.0, 0.0, 47.5, 0.0, 0.0, 80.0, 31.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def rectified(info: CameraInfo, pixels: np.ndarray) -> np.ndarray:
    rectifier = Rectifier()
    rectifier.set_info(info)
    return rectifier.rectified(Frame(pixels=pixels, stamp_s=1.0)).pixels


def dot(right: int, down: int) -> np.ndarray:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[down - 1 : down + 2, right - 1 : right + 2] = 255
    return pixels


def centre(pixels: np.ndarray) -> np.ndarray:
    weight = pixels[..., 0].astype(float)
    down, right = np.indices(weight.shape)
    return np.array([(weight * right).sum(), (weight * down).sum()]) / weight.sum()


def test_a_lens_without_distortion_changes_no_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_array_equal(rectified(camera_info(), pixels), pixels)


@pytest.mark.parametrize(
    ("model", "d"),
    [
        ("plumb_bob", (-0.3, 0.1, 0.002, -0.003, 0.0)),
        ("rational_polynomial", (-0.3, 0.1, 0.002, -0.003, 0.0, 0.01, 0.0, 0.0)),
        ("equidistant", (0.05, -0.02, 0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("point", [(20, 15), (75, 50)])
def test_a_point_comes_to_where_a_pinhole_would_see_it(model, d, point):
    info = camera_info(d, model)
    k, seen = np.reshape(info.k, (3, 3)), np.array([[point]], float)
    undistort = cv2.fisheye.undistortPoints if model == "equidistant" else cv2.undistortPoints
    wanted = undistort(seen, k, np.array(d), P=k)[0, 0]
    assert np.abs(wanted - point).max() > 0.5  # there is something to rectify
    np.testing.assert_allclose(centre(rectified(info, dot(*point))), wanted, atol=0.25)


def test_the_maps_follow_a_new_calibration():
    rectifier, frame = Rectifier(), Frame(pixels=dot(20, 15), stamp_s=1.0)
    rectifier.set_info(camera_info())
    before = rectifier.rectified(frame).pixels
    rectifier.set_info(camera_info((-0.3, 0.1, 0.0, 0.0, 0.0)))
    assert (rectifier.rectified(frame).pixels != before).any()


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (camera_info(k=[0.0] * 9), "not calibrated"),
        (camera_info(p=[0.0] * 12), "not calibrated"),
        (camera_info((float("nan"),) * 5), "not finite"),
        (camera_info(model="fov"), "'fov'; valid: plumb_bob, rational_polynomial, equidistant"),
        (camera_info((0.1,) * 3), "3 coefficients d for the model plumb_bob"),
    ],
)
def test_a_calibration_that_is_none_is_refused_and_ends_the_one_before(info, reason):
    rectifier = Rectifier()
    rectifier.set_info(camera_info())
    with pytest.raises(ImageError, match=reason):
        rectifier.set_info(info)
    with pytest.raises(ImageError, match="no usable camera_info"):
        rectifier.rectified(Frame(pixels=dot(20, 15), stamp_s=1.0))


def test_a_picture_of_another_size_is_refused():
    with pytest.raises(ImageError, match="90 x 64 pixels, but its camera_info is for 96 x 64"):
        rectified(camera_info(), np.zeros((64, 90, 3), np.uint8))
