"""The way of the tip: an arm that lags behind on it is let be, one that is off it is led back."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.ros.tip_path import TipPath
from vla_ros.rotations import matrix_from_vector

SPEED_M_S, TICK_S = 0.5, 0.01


def pose(x_m=0.0, y_m=0.0, turn_rad=0.0):
    made = np.eye(4)
    made[:2, 3] = x_m, y_m
    made[:3, :3] = matrix_from_vector(np.array([0.0, 0.0, turn_rad]))
    return made


@pytest.fixture
def path():
    """Along x for a second, at 0.5 m/s."""
    path = TipPath()
    path.begin(10.0, pose())
    for tick in range(1, 101):
        path.add(10.0 + tick * TICK_S, pose(tick * TICK_S * SPEED_M_S))
    return path


def test_the_velocity_is_that_of_the_newest_piece(path):
    np.testing.assert_allclose(path.velocity(0.001), [SPEED_M_S, 0, 0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(path.velocity(0.02)[0], SPEED_M_S / 2, atol=1e-9)
    path.begin(11.01, pose(2.0))
    np.testing.assert_array_equal(path.velocity(0.001), np.zeros(6))


@pytest.mark.parametrize("lag_s", [0.0, 0.05, 0.2])
def test_an_arm_that_lags_is_not_made_to_run_ahead(path, lag_s):
    behind = pose((1.0 - lag_s) * SPEED_M_S)
    np.testing.assert_allclose(path.correction(behind, 1.0), np.zeros(6), atol=1e-9)


def test_an_arm_beside_the_way_is_led_back_to_it_and_not_along_it(path):
    beside = pose(0.9 * SPEED_M_S, y_m=0.01)
    np.testing.assert_allclose(path.correction(beside, 1.0), [0, -0.02, 0, 0, 0, 0], atol=1e-9)
    turned = pose(0.9 * SPEED_M_S, turn_rad=0.1)
    np.testing.assert_allclose(path.correction(turned, 1.0), [0, 0, 0, 0, 0, -0.2], atol=1e-9)


def test_an_arm_at_rest_is_led_to_the_end(path):
    for tick in range(1, 32):
        path.add(11.0 + tick * TICK_S, pose(SPEED_M_S))
    short = pose(SPEED_M_S - 0.02)
    np.testing.assert_allclose(path.correction(short, 1.0), [0.04, 0, 0, 0, 0, 0], atol=1e-9)


def test_an_arm_far_off_is_led_back_within_bounds(path):
    away = path.correction(pose(SPEED_M_S, y_m=1.0, turn_rad=0.5), 1.0)
    assert np.linalg.norm(away[:3]) == pytest.approx(0.25)
    assert np.linalg.norm(away[3:]) < 1.0
    slowed = path.correction(pose(SPEED_M_S, y_m=1.0, turn_rad=0.5), 0.1)
    np.testing.assert_allclose(slowed, 0.1 * away)


def test_a_clock_that_goes_back_leaves_the_newest_pose_only(path):
    path.add(5.0, pose(1.0))
    np.testing.assert_allclose(path.correction(pose(0.99), 1.0), [0.02, 0, 0, 0, 0, 0], atol=1e-9)
