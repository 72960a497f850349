"""The topics of a node's run, by its robot file: what it heard, what it commanded, what it said."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.robot_config import RobotConfig
from vla_ros.ros.camera_decoder import CameraDecoder

STATE = "state"
"""Name of the joint states among the inputs; cameras have their own names."""

_COMMANDS = {
    "joint_trajectory": JointTrajectory,
    "joint_trajectory_chunk": JointTrajectory,
    "forward_command": Float64MultiArray,
    "servo_twist": TwistStamped,
    "servo_pose": PoseStamped,
}


def stamped_topics(robot: RobotConfig, cameras: tuple[str, ...]) -> dict[str, tuple[str, Any]]:
    """Topic and message type of each input with a stamp, by its name in `~/status`.

    Args:
        robot: The arm.
        cameras: Those that the policy looks through.
    """
    configs = {name: robot.cameras[name] for name in cameras}
    found = {name: (config.topic, CameraDecoder(config).kind) for name, config in configs.items()}
    return {STATE: (robot.state.topic, JointState), **found}


def unstamped_topics(robot: RobotConfig, cameras: tuple[str, ...]) -> dict[str, Any]:
    """Message type of each other input, by its topic."""
    infos = [robot.cameras[name].camera_info for name in cameras]
    safety = robot.safety
    buttons = [safety.emergency_stop_topic, safety.deadman.topic if safety.deadman else None]
    return {
        robot.instruction_topic: String,
        **{topic: CameraInfo for topic in infos if topic is not None},
        **{topic: Bool for topic in buttons if topic is not None},
    }


def command_topics(robot: RobotConfig) -> dict[str, Any]:
    """Message type of each command, by its topic; a gripper's action is none."""
    sinks = [robot.arm_sink, *([robot.gripper_sink] if robot.gripper_sink else [])]
    return {sink.topic: _COMMANDS[sink.sink] for sink in sinks if sink.sink in _COMMANDS}
