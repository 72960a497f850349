"""How far plan and motion are apart: measured when a plan ends, never across a gap or an epoch."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.datatypes import ActionChunk, RobotState
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.divergence import Divergence


@pytest.fixture
def divergence(robot: RobotConfig) -> Divergence:
    return Divergence(robot)


def plan(robot: RobotConfig, start_s: float, ends_rad: float, epoch: int = 1) -> ActionChunk:
    actions = np.linspace(0.0, ends_rad, 9)[1:, None].repeat(len(robot.action_names), 1)
    return ActionChunk(actions=actions, start_s=start_s, step_s=0.1, epoch=epoch, inference_s=0.0)


def state(robot: RobotConfig, stamp_s: float, position_rad: float = 0.0) -> RobotState:
    joints = np.full(len(robot.joints), position_rad)
    gripper = None if robot.gripper is None else 0.0
    return RobotState(
        position_rad=joints, velocity_rad_s=0 * joints, gripper_open=gripper, stamp_s=stamp_s
    )


def test_it_is_told_once_when_the_plan_ends(divergence, robot):
    chunk = plan(robot, 1.0, 0.5)
    told = [divergence.watch(chunk, state(robot, 1.0 + t / 20, 0.2)) for t in range(20)]
    assert told.index(True) == 16
    assert told.count(True) == 1
    assert divergence.last.joint_rad == pytest.approx(0.3)
    assert divergence.last.after_s == pytest.approx(0.8)
    tips = robot.chain.forward(np.array([[0.5] * len(robot.joints), [0.2] * len(robot.joints)]))
    apart_m = np.linalg.norm(tips[0, :3, 3] - tips[1, :3, 3])
    assert divergence.last.tip_m == pytest.approx(apart_m)


def test_plans_that_overlap_are_each_held_against_the_motion(divergence, robot):
    first, second = plan(robot, 0.0, 0.1), plan(robot, 0.3, 0.4)
    assert not divergence.watch(first, state(robot, 0.0))
    assert not divergence.watch(second, state(robot, 0.3))
    assert divergence.watch(second, state(robot, 0.81))
    assert divergence.last.joint_rad == pytest.approx(0.1)
    assert divergence.watch(second, state(robot, 1.11))
    assert divergence.last.joint_rad == pytest.approx(0.4)


def test_a_plan_of_an_earlier_epoch_is_not_compared(divergence, robot):
    divergence.watch(plan(robot, 0.0, 0.1), state(robot, 0.0))
    assert not divergence.watch(plan(robot, 0.3, 0.4, epoch=2), state(robot, 0.81))
    assert divergence.last is None


def test_a_plan_whose_end_nobody_measured_is_not_compared(divergence, robot):
    chunk = plan(robot, 0.0, 0.1)
    divergence.watch(chunk, state(robot, 0.5))
    assert not divergence.watch(chunk, state(robot, 2.0))
    assert divergence.last is None
