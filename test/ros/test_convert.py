"""Messages to values and back: what is honoured, and what is refused with which words."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sensor_msgs.msg import JointState

from vla_ros.datatypes import Command
from vla_ros.errors import StateError
from vla_ros.robot_config import RobotConfig
from vla_ros.ros import convert

_ALL = ("wheel", "finger", "wrist", "elbow", "shoulder")


def state_msg(names=("shoulder", "elbow", "wrist", "finger"), **fields) -> JointState:
    values = {"shoulder": 0.1, "elbow": -0.2, "wrist": 0.3, "finger": 0.01, "wheel": 9.0}
    fields.setdefault("position", [values[name] for name in names])
    fields.setdefault("velocity", [10 * values[name] for name in names])
    msg = JointState(name=list(names), **fields)
    msg.header.stamp.sec = 5
    msg.header.stamp.nanosec = 250_000_000
    return msg


def test_a_state_without_stamp_is_refused(robot: RobotConfig):
    state = state_msg()
    state.header.stamp.sec = state.header.stamp.nanosec = 0
    with pytest.raises(StateError, match="no stamp"):
        convert.state_from_msg(state, robot)


@pytest.mark.parametrize("names", list(permutations(_ALL)))
@pytest.mark.fault(5)
def test_joint_order_and_extra_joints_never_matter(robot: RobotConfig, names):
    state = convert.state_from_msg(state_msg(names), robot)
    assert state.position_rad.tolist() == [0.1, -0.2, 0.3]
    assert state.velocity_rad_s.tolist() == [1.0, -2.0, 3.0]
    assert state.gripper_open == 0.25
    assert state.stamp_s == 5.25


@pytest.mark.parametrize(
    ("names", "fields", "reason"),
    [
        (("shoulder", "wrist", "finger"), {}, "'elbow' is not in the .*; it has: shoulder, wrist"),
        (("shoulder", "elbow", "wrist"), {}, "'finger' is not in the joint state"),
        (("elbow", "shoulder", "elbow", "wrist", "finger"), {}, "'elbow' stands 2 times"),
        (("finger", "shoulder", "elbow", "wrist"), {"position": [0.0, 0.1]}, "'elbow' has no posi"),
        (("finger", "shoulder", "elbow", "wrist"), {"position": [0, 1, 2, np.nan]}, "'wrist' is n"),
        (("finger", "shoulder", "elbow", "wrist"), {"position": [0, np.inf, 2, 3]}, "r' is inf"),
        ((), {}, "'shoulder' is not in"),
    ],
)
@pytest.mark.fault(6)
def test_a_state_without_every_joint_is_refused(robot: RobotConfig, names, fields, reason):
    fields = {name: [float(value) for value in values] for name, values in fields.items()}
    with pytest.raises(StateError, match=reason):
        convert.state_from_msg(state_msg(names, **fields), robot)


@pytest.mark.parametrize("velocity", [[], [1.0], [float("nan")] * 4])
def test_velocities_that_no_one_reports_are_zero(robot: RobotConfig, velocity):
    state = convert.state_from_msg(state_msg(velocity=velocity), robot)
    assert state.velocity_rad_s.tolist() == [0.0, 0.0, 0.0]


def test_a_command_becomes_one_point_from_now(robot: RobotConfig):
    command = Command(
        position_rad=np.array([0.1, 0.2, 0.3]),
        velocity_rad_s=np.array([1.0, 0.0, -1.0]),
        gripper_open=0.5,
        stamp_s=7.0,
    )
    arm = convert.trajectory_from_commands([command], robot)
    (point,) = arm.points
    assert arm.header.stamp.sec == arm.header.stamp.nanosec == 0
    assert arm.joint_names == ["shoulder", "elbow", "wrist"]
    assert point.positions.tolist() == [0.1, 0.2, 0.3]
    assert point.velocities.tolist() == [1.0, 0.0, -1.0]
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 20_000_000)
    gripper = convert.gripper_trajectory(command.gripper_open, robot)
    assert gripper.joint_names == ["finger"]
    assert gripper.points[0].positions.tolist() == [0.02]
    hold = convert.trajectory_from_commands([convert.hold_of(command)], robot)
    assert hold.points[0].velocities.tolist() == [0.0, 0.0, 0.0]
    assert hold.points[0].positions.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("time_s", [0.0, 0.1, 1_700_000_000.123456, 2.9999999999])
def test_stamps_keep_the_time_to_a_microsecond(time_s):
    stamp = convert.stamp_from_seconds(time_s)
    assert 0 <= stamp.nanosec < 1_000_000_000
    assert convert.seconds_from_stamp(stamp) == pytest.approx(time_s, abs=1e-6)
