"""MoveIt Servo's side of a command: type first, twist and pose messages, in its frame and clock.

Servo accepts nothing before its command type was chosen, drops what is older than 0.1 s (a zero
stamp always is), and needs a `frame_id`. Set its `command_in_type` to `speed_units`.
"""

from __future__ import annotations

import time
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node

from vla_ros.datatypes import Command, FloatArray
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.convert import stamp_from_seconds
from vla_ros.ros.optional_types import load_type
from vla_ros.rotations import quaternion_from_matrix

COMMAND_TYPES = {"servo_twist": 1, "servo_pose": 2}
"""Values of moveit_msgs/srv/ServoCommandType."""

_ASK_AGAIN_S = 1.0


def twist_msg(command: Command, twist: FloatArray, robot: RobotConfig) -> TwistStamped:
    """The tip's velocity (6,) [m/s, rad/s] at the time of `command`, in the base frame."""
    msg = TwistStamped()
    _head(msg.header, command, robot)
    linear, angular = msg.twist.linear, msg.twist.angular
    linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = twist.tolist()
    return msg


def pose_msg(command: Command, near: FloatArray | None, robot: RobotConfig) -> PoseStamped:
    """The tip's pose at `command`; `near` is the quaternion sent before, or `None`."""
    pose = robot.chain.forward(command.position_rad)
    msg = PoseStamped()
    _head(msg.header, command, robot)
    position, turn = msg.pose.position, msg.pose.orientation
    position.x, position.y, position.z = pose[:3, 3].tolist()
    turn.x, turn.y, turn.z, turn.w = quaternion_from_matrix(pose[:3, :3], near).tolist()
    return msg


class ServoSwitch:
    """Chooses Servo's command type; nothing may be commanded before it has been confirmed."""

    def __init__(self, node: Node, robot: RobotConfig) -> None:
        """Connect to the service.

        Raises:
            NodeError: moveit_msgs is not installed, and `switch_by` says `service`.
        """
        arm = robot.arm_sink
        self._name, self._kind = arm.switch, COMMAND_TYPES[arm.sink]
        self._by_parameter = arm.switch_by == "parameter"
        if self._by_parameter:
            self._name = f"{arm.switch.rpartition('/')[0]}/set_parameters"
            service = SetParameters
        else:
            service = load_type("moveit_msgs/srv/ServoCommandType")
        self._request = self._set_parameter() if self._by_parameter else service.Request()
        if not self._by_parameter:
            self._request.command_type = self._kind
        self._node = node
        self._client = node.create_client(service, self._name)
        self.begin()

    def begin(self) -> None:
        """Ask anew: Servo may have been used by another since."""
        self._future: Any = None
        self._asked_s = float("-inf")
        self._is_chosen = False

    def obstacle(self) -> str:
        """Why nothing may be commanded yet, empty when Servo is ready; asks it when need be."""
        if self._is_chosen:
            return ""
        if self._future is not None and self._future.done():
            self._is_chosen, self._future = self._succeeded(), None
            if self._is_chosen:
                self._node.get_logger().info(f"MoveIt Servo takes command type {self._kind}")
                return ""
        if not self._client.service_is_ready():
            return f"MoveIt Servo does not offer {self._name}; start it, or name its service"
        if time.monotonic() - self._asked_s > _ASK_AGAIN_S:
            self._asked_s = time.monotonic()
            self._future = self._client.call_async(self._request)
        return f"MoveIt Servo has not confirmed command type {self._kind} on {self._name} yet"

    def close(self) -> None:
        """Disconnect."""
        self._node.destroy_client(self._client)

    def _succeeded(self) -> bool:
        answer = self._future.result()
        if answer is None:
            return False
        if self._by_parameter:
            return all(result.successful for result in answer.results)
        return bool(answer.success)

    def _set_parameter(self) -> SetParameters.Request:
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=self._kind)
        return SetParameters.Request(parameters=[Parameter(name="command_type", value=value)])


def _head(header: Any, command: Command, robot: RobotConfig) -> None:
    # The tick's time is the node's clock; while the node comes to rest it goes on although nobody
    # turns the executor, which the clock would need.
    header.stamp = stamp_from_seconds(command.stamp_s)
    header.frame_id = robot.base_link
