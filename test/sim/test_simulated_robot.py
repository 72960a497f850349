"""The tabletop behind its controllers: what it follows, keeps and reports."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.robot_config import load_robot
from vla_ros.share import share_path
from vla_ros.sim.expert import Expert
from vla_ros.sim.joint_trajectory import JointTrajectory, TrajectoryPoint
from vla_ros.sim.simulated_robot import SimulatedRobot
from vla_ros.sim.world import TabletopSim


@pytest.fixture(scope="module")
def world():
    world = TabletopSim(render_px=32)
    yield world
    world.close()


@pytest.fixture
def robot(world):
    config = load_robot(share_path("config/panda.yaml"))
    robot = SimulatedRobot(config, world, cmd_timeout_s=0.2)
    begin(robot, 3)
    return robot


def begin(robot, seed):
    robot.reset(seed=seed, task="pick_object", combinations="seen", wordings="seen", now_s=1000.0)


def point(positions, duration_s, names):
    one = TrajectoryPoint(time_from_start_s=duration_s, positions=tuple(positions))
    return JointTrajectory(joint_names=names, points=(one,))


def run(robot, duration_s, start_s=1000.0):
    for step in range(round(duration_s / 0.005)):
        robot.step(start_s + (step + 1) * 0.005)
    return robot.joints()[0]


def test_command_timeout_of_the_arm_does_not_open_the_gripper(robot):
    arm = robot.joint_names[:7]
    robot.hand.accept(point([0.01], 0.1, robot.joint_names[7:8]), 1000.0)
    robot.arm.accept(point(robot.joints()[0][:7] + 0.1, 0.1, arm), 1000.0)
    position = run(robot, 1.0)
    assert robot.report()["arm"]["timeouts"] == 1
    assert robot.report()["hand"]["timeouts"] == 0
    np.testing.assert_allclose(position[7:], 0.01, atol=1e-3)


def test_same_seed_and_commands_give_the_same_motion_to_the_bit(robot):
    arm, results = robot.joint_names[:7], []
    for _ in range(2):
        begin(robot, 7)
        robot.arm.accept(point(robot.joints()[0][:7] + 0.2, 0.3, arm), 1000.0)
        results.append(run(robot, 0.5))
    np.testing.assert_array_equal(*results)


def test_first_command_after_a_reset_starts_from_rest(robot):
    """The controller's last setpoint belongs to the new pose and the new time."""
    start = robot.joints()[0][:7]
    robot.arm.accept(point(start + 0.5, 1.0, robot.joint_names[:7]), 1000.0)
    position = run(robot, 0.05)[:7]
    assert 0 < np.abs(position - start).max() < 0.05


def test_block_that_is_touched_first_is_reported_until_the_next_reset(robot):
    expert, now_s = Expert(robot.world), 1000.0
    assert robot.report()["first_touched"] == ""
    while not robot.first_touched and now_s < 1015.0:
        action = expert.act()
        robot.arm.accept(point(action[:7], 0.1, robot.joint_names[:7]), now_s)
        robot.hand.accept(point([0.04 * action[7]], 0.1, robot.joint_names[7:8]), now_s)
        run(robot, 0.1, now_s)
        now_s += 0.1
    assert robot.report()["first_touched"] == robot.world.episode.color != ""
    begin(robot, 4)
    assert robot.report()["first_touched"] == ""
