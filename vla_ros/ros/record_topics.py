"""What the recorder hears of an arm: the topics of its robot file, and what to do with a message.

The same for a running robot and for a bag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import FloatArray
from vla_ros.errors import StateError
from vla_ros.learn.demonstration import Demonstration
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.camera_decoder import CameraDecoder
from vla_ros.ros.convert import seconds_from_stamp, state_from_msg

_TRAJECTORIES = ("joint_trajectory", "joint_trajectory_chunk")


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A topic: its type, and what takes its messages.

    Attributes:
        take: Raises ImageError or StateError for a message that cannot be used.
    """

    topic: str
    kind: Any
    take: Callable[[Any], None]


def heard_topics(robot: RobotConfig, demonstration: Demonstration) -> list[Heard]:
    """All topics that a recording needs, but the instruction's."""

    def take_state(msg: JointState) -> None:
        demonstration.put_state(state_from_msg(msg, robot))

    cameras = [one for name in robot.cameras for one in _camera(robot, name, demonstration)]
    state = Heard(topic=robot.state.topic, kind=JointState, take=take_state)
    return [*cameras, *_commands(robot, demonstration), state]


def _camera(robot: RobotConfig, name: str, demonstration: Demonstration) -> Iterator[Heard]:
    camera = robot.cameras[name]
    decoder = CameraDecoder(camera)

    def take_frame(msg: Any) -> None:
        demonstration.put_frame(name, decoder.frame(msg))

    yield Heard(topic=camera.topic, kind=decoder.kind, take=take_frame)
    if camera.camera_info is not None:
        yield Heard(topic=camera.camera_info, kind=CameraInfo, take=decoder.set_info)


def _commands(robot: RobotConfig, demonstration: Demonstration) -> Iterator[Heard]:
    """Commands of whoever moves the arm, where the robot file's topics carry joint positions.

    A gripper that holds something is as far open as the thing is wide; only its command tells that
    it shall close.
    """
    by_topic: dict[str, tuple[str, tuple[str, ...]]] = {}
    arm, gripper = robot.arm_sink, robot.gripper_sink
    by_topic[arm.topic] = (arm.sink, arm.joints)
    if gripper is not None and robot.gripper is not None and gripper.topic:
        by_topic[gripper.topic] = (gripper.sink, (robot.gripper.joint,))
    for topic, (sink, joints) in by_topic.items():
        if sink in _TRAJECTORIES:
            take = _trajectory_taker(robot, demonstration)
            yield Heard(topic=topic, kind=JointTrajectory, take=take)
        elif sink == "forward_command":
            yield Heard(
                topic=topic, kind=Float64MultiArray, take=_array_taker(robot, joints, demonstration)
            )


def _trajectory_taker(robot: RobotConfig, demonstration: Demonstration) -> Callable[[Any], None]:
    """Takes one point that is streamed, or a path, by the times at which its points are due."""

    def take(msg: JointTrajectory) -> None:
        positions = [point.positions for point in msg.points]
        if not any(positions):
            return
        start_s = seconds_from_stamp(msg.header.stamp) or demonstration.now_s
        due_s = np.array([start_s + seconds_from_stamp(p.time_from_start) for p in msg.points])
        names = list(msg.joint_names)
        if any(len(row) != len(names) for row in positions) or (np.diff(due_s) <= 0).any():
            raise StateError(
                f"the trajectory of {', '.join(names)} has points without a position of each "
                "joint, or times that do not increase; a controller refuses it, too"
            )
        by_joint = dict(zip(names, np.array(positions).T, strict=True))
        _put(robot, demonstration, due_s, by_joint)

    return take


def _array_taker(
    robot: RobotConfig, joints: tuple[str, ...], demonstration: Demonstration
) -> Callable[[Any], None]:
    def take(msg: Float64MultiArray) -> None:
        if len(msg.data) == len(joints):
            values = np.array(msg.data)[:, None]
            by_joint = dict(zip(joints, values, strict=True))
            _put(robot, demonstration, np.array([demonstration.now_s]), by_joint)

    return take


def _put(
    robot: RobotConfig,
    demonstration: Demonstration,
    due_s: FloatArray,
    by_joint: dict[str, FloatArray],
) -> None:
    gripper = robot.gripper
    for index, joint in enumerate(robot.joints):
        if joint in by_joint:
            demonstration.put_command(index, due_s, by_joint[joint])
    if gripper is not None and gripper.joint in by_joint:
        opening = np.array([gripper.open_fraction(value) for value in by_joint[gripper.joint]])
        demonstration.put_command(len(robot.joints), due_s, opening)
