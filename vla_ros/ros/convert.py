"""ROS messages to the values of `vla_ros.datatypes` and back; called by the nodes' callbacks.

Functions of values only. Whatever a message claims is checked before anything is copied.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.datatypes import Command, FloatArray, RobotState
from vla_ros.errors import StateError
from vla_ros.robot_config import RobotConfig

HORIZON_PERIODS = 2.0
"""`time_from_start` of the first point, in control periods: the controller never runs dry."""


def seconds_from_stamp(stamp: Time) -> float:
    """Time of a message stamp, [s]."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def stamp_from_seconds(time_s: float) -> Time:
    """Message stamp of a time, [s], at or after 0."""
    sec, nanosec = divmod(round(time_s * 1e9), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def stamp_problem(what: str, stamp: Time) -> str:
    """Why a message without a stamp is not taken; empty when it has one."""
    if stamp.sec == 0 and stamp.nanosec == 0:
        return f"{what} has no stamp (it is 0), so its age is unknown; its driver must set it"
    return ""


def state_from_msg(msg: JointState, robot: RobotConfig) -> RobotState:
    """Pick the robot's joints by name, in the robot file's order.

    Joints that the robot file does not name are ignored. A velocity that is missing or not a
    number counts as zero: many drivers report none.

    Raises:
        StateError: A joint is missing or named twice, or its position is missing or not finite,
            or the message is not stamped.
    """
    problem = stamp_problem("joint state", msg.header.stamp)
    if problem:
        raise StateError(problem)
    gripper = robot.gripper
    return RobotState(
        position_rad=np.array([_position(msg, name) for name in robot.joints]),
        velocity_rad_s=_velocities(msg, robot.joints),
        gripper_open=gripper.open_fraction(_position(msg, gripper.joint)) if gripper else None,
        stamp_s=seconds_from_stamp(msg.header.stamp),
    )


def _position(msg: JointState, name: str) -> float:
    count = msg.name.count(name)
    if count != 1:
        what = "is not in" if count == 0 else f"stands {count} times in"
        raise StateError(f"joint {name!r} {what} the joint state; it has: {', '.join(msg.name)}")
    index = msg.name.index(name)
    if index >= len(msg.position):
        raise StateError(
            f"joint {name!r} has no position: the joint state has {len(msg.name)} names and "
            f"{len(msg.position)} positions"
        )
    position = msg.position[index]
    if not np.isfinite(position):
        raise StateError(f"position of joint {name!r} is {position}, not a finite number")
    return float(position)


def _velocities(msg: JointState, names: tuple[str, ...]) -> FloatArray:
    if len(msg.velocity) != len(msg.name):
        return np.zeros(len(names))
    velocities = np.array([msg.velocity[msg.name.index(name)] for name in names])
    return np.where(np.isfinite(velocities), velocities, 0.0)


def trajectory_from_commands(commands: Sequence[Command], robot: RobotConfig) -> JointTrajectory:
    """Points for the arm's `joint_trajectory_controller`: one is streamed, several are a path.

    The stamp is 0, which means "from now": a controller refuses a trajectory that ends in the past.

    Args:
        commands: At least one, in the order of their stamps.
        robot: The arm.
    """
    points = [
        _point(
            _in_order(by_joint(command, robot), robot),
            _in_order(_velocity_by_joint(command, robot), robot),
            HORIZON_PERIODS * robot.tick_s + command.stamp_s - commands[0].stamp_s,
        )
        for command in commands
    ]
    return JointTrajectory(joint_names=list(robot.arm_sink.joints), points=points)


def by_joint(command: Command, robot: RobotConfig) -> dict[str, float]:
    """Commanded positions of all joints, the finger joint among them when it is commanded."""
    positions = dict(zip(robot.joints, command.position_rad.tolist(), strict=True))
    if robot.gripper is not None and command.gripper_open is not None:
        positions[robot.gripper.joint] = robot.gripper.position_m(command.gripper_open)
    return positions


def gripper_trajectory(gripper_open: float, robot: RobotConfig) -> JointTrajectory:
    """One streamed point for the gripper's controller."""
    position = [robot.gripper.position_m(gripper_open)]
    point = _point(position, [0.0], HORIZON_PERIODS * robot.tick_s)
    return JointTrajectory(joint_names=[robot.gripper.joint], points=[point])


def hold_of(command: Command) -> Command:
    """The same pose at rest: the last message before the node falls silent."""
    return replace(command, velocity_rad_s=np.zeros_like(command.velocity_rad_s))


def _velocity_by_joint(command: Command, robot: RobotConfig) -> dict[str, float]:
    velocities = dict(zip(robot.joints, command.velocity_rad_s.tolist(), strict=True))
    # The gripper is told where to, not how fast.
    return velocities if robot.gripper is None else {**velocities, robot.gripper.joint: 0.0}


def _in_order(values: dict[str, float], robot: RobotConfig) -> list[float]:
    return [values[name] for name in robot.arm_sink.joints]


def _point(
    positions: Sequence[float], velocities: Sequence[float], from_start_s: float
) -> JointTrajectoryPoint:
    point = JointTrajectoryPoint(positions=array("d", positions), velocities=array("d", velocities))
    stamp = stamp_from_seconds(from_start_s)
    point.time_from_start.sec, point.time_from_start.nanosec = stamp.sec, stamp.nanosec
    return point
