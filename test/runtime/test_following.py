"""Which part of an arm must be where it was told: the joints, or the tip alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from vla_ros.datatypes import RobotState, Status
from vla_ros.inverse_kinematics import solve_pose
from vla_ros.robot_config import load_robot
from vla_ros.runtime.following import Following
from vla_ros.share import share_path

HOME = np.array([0.0, 0.2, 0.0, -2.0, 0.0, 2.2, 0.5])


def at(position_rad: np.ndarray) -> RobotState:
    return RobotState(
        position_rad=position_rad, velocity_rad_s=np.zeros(7), gripper_open=1.0, stamp_s=0.0
    )


@pytest.fixture
def other_posture() -> np.ndarray:
    """The tip as at home, the elbow elsewhere."""
    robot = load_robot(share_path("config/panda.yaml"))
    pose, start = robot.chain.forward(HOME), HOME + np.array([0.4, 0, -0.4, 0, 0.3, 0, 0])
    limits = robot.limits.lower_rad, robot.limits.upper_rad
    found = solve_pose(robot.chain, pose, start, limits)
    assert np.abs(found - HOME).max() > 0.25
    np.testing.assert_allclose(robot.chain.forward(found), pose, atol=2e-3)
    return found


@pytest.mark.parametrize(
    ("name", "follows"),
    [("panda", False), ("panda_forward", False), ("panda_servo_twist", True)],
)
def test_with_servo_the_posture_is_free(other_posture, name, follows):
    following = Following(load_robot(share_path(f"config/{name}.yaml")))
    following.begin(HOME)
    assert (following.obstacle(at(other_posture), 1.0) is None) == follows
    assert following.obstacle(at(HOME), 1.0) is None


def test_with_servo_the_tip_must_follow():
    following = Following(load_robot(share_path("config/panda_servo_pose.yaml")))
    following.begin(HOME)
    turned = at(HOME + np.array([0.3, 0, 0, 0, 0, 0, 0]))
    held = following.obstacle(turned, 1.0)
    assert held.status is Status.HOLD_NOT_FOLLOWING
    assert "the tip's y is 0.1" in held.reason
    assert "limit 0.1 m (robot file panda_servo_pose.yaml, safety.following)" in held.reason
    assert following.obstacle(turned, 4.1).status is Status.FAULT_NOT_FOLLOWING
    following.note(turned.position_rad)
    assert following.obstacle(turned, 4.2) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("panda", "panda_joint1 was told to move by 0.080 rad"),
        ("panda_servo_twist", "the tip's y was told to move by 0.0"),
    ],
)
def test_an_arm_that_stands_still_is_named_and_stays_found_until_it_moves(name, words):
    following = Following(load_robot(share_path(f"config/{name}.yaml")))
    following.begin(HOME)
    for index in range(401):
        told_rad = HOME + np.array([2e-4 * index, 0, 0, 0, 0, 0, 0])
        following.note(told_rad)
        held = following.obstacle(at(HOME), 0.01 * index)
    assert held.status is Status.HOLD_NOT_FOLLOWING
    assert words in held.reason
    assert f"(robot file {name}.yaml, safety.following)" in held.reason
    following.settle()
    assert following.obstacle(at(HOME), 1.0) is not None, "though the clock jumped back"
    assert following.is_lost(at(HOME))
    assert following.obstacle(at(told_rad), 1.1) is None
    assert not following.is_lost(at(told_rad))


def test_one_joint_that_moves_is_enough():
    following = Following(load_robot(share_path("config/panda.yaml")))
    following.begin(HOME)
    for index in range(600):
        sway_rad = 0.09 * np.sin(0.01 * index)
        following.note(HOME + sway_rad)
        moved = HOME + np.array([0, 0, 0, 0, 0, sway_rad, 0])
        assert following.obstacle(at(moved), 0.01 * index) is None


def test_an_arm_that_somebody_else_moves_may_stand_still():
    robot = load_robot(share_path("config/panda.yaml"))
    limits = dataclasses.replace(robot.safety.following, max_error_rad=math.inf)
    safety = dataclasses.replace(robot.safety, following=limits)
    following = Following(dataclasses.replace(robot, safety=safety))
    following.begin(HOME)
    for index in range(600):
        following.note(HOME + 0.01 * index)
        assert following.obstacle(at(HOME), 0.01 * index) is None
