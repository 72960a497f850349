"""What the simulated drivers subscribe to: one function for each kind of controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.errors import ActionError, NodeError
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.convert import seconds_from_stamp
from vla_ros.ros.edge import Throttle, guarded
from vla_ros.ros.optional_types import load_type
from vla_ros.ros.sim_messages import trajectory_from_msg
from vla_ros.rotations import matrix_from_quaternion
from vla_ros.sim.forward_controller import ForwardController
from vla_ros.sim.servo import ServoController
from vla_ros.sim.simulated_robot import SimulatedRobot
from vla_ros.sim.trajectory_controller import TrajectoryController

_COMMAND_QOS = QoSProfile(depth=10)

Accept = Callable[[Any], str | None]


class SimDrivers:
    """Subscribes to the commands of a robot file and hands them to the simulated controllers."""

    def __init__(
        self, node: Node, file: RobotConfig, robot: SimulatedRobot, now_s: Callable[[], float]
    ) -> None:
        self._node = node
        self._now_s = now_s
        self._refusals = Throttle()
        self._connect(file.arm_sink.topic, robot.arm)
        if file.gripper_sink is not None:
            self._connect(file.gripper_sink.topic, robot.hand)
        if isinstance(robot.arm, ServoController):
            self._offer_switch(file.arm_sink.switch, robot.arm)

    def _connect(self, topic: str, controller: Any) -> None:
        match controller:
            case TrajectoryController():
                self._hear(JointTrajectory, topic, self._trajectory_taker(controller))
            case ForwardController():
                self._hear(Float64MultiArray, topic, self._forward_taker(controller))
            case ServoController() if controller.wants_pose:
                self._hear(PoseStamped, topic, self._pose_taker(controller))
            case _:
                self._hear(TwistStamped, topic, self._twist_taker(controller))

    def _hear(self, kind: type, topic: str, accept: Accept) -> None:
        def on_command(msg: Any) -> None:
            reason = accept(msg)
            text = self._refusals.admit(f"{topic} refused: {reason}") if reason else ""
            if text:
                self._node.get_logger().warning(text)

        callback = guarded(self._node.get_logger(), on_command)
        self._node.create_subscription(kind, topic, callback, _COMMAND_QOS)

    def _trajectory_taker(self, controller: TrajectoryController) -> Accept:
        return lambda msg: controller.accept(trajectory_from_msg(msg), self._now_s())

    def _forward_taker(self, controller: ForwardController) -> Accept:
        return lambda msg: controller.accept(list(msg.data), self._now_s())

    def _twist_taker(self, controller: ServoController) -> Accept:
        def accept(msg: TwistStamped) -> str | None:
            linear, angular = msg.twist.linear, msg.twist.angular
            values = [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]
            stamp_s = seconds_from_stamp(msg.header.stamp)
            return controller.accept_twist(values, msg.header.frame_id, stamp_s, self._now_s())

        return accept

    def _pose_taker(self, controller: ServoController) -> Accept:
        def accept(msg: PoseStamped) -> str | None:
            position, turn = msg.pose.position, msg.pose.orientation
            pose = np.eye(4)
            pose[:3, 3] = position.x, position.y, position.z
            try:
                pose[:3, :3] = matrix_from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w]))
            except ActionError as error:
                return str(error)
            stamp_s = seconds_from_stamp(msg.header.stamp)
            return controller.accept_pose(pose, msg.header.frame_id, stamp_s, self._now_s())

        return accept

    def _offer_switch(self, switch: str, controller: ServoController) -> None:
        """Offer Servo's service, and a parameter in its place where moveit_msgs is not there."""

        def on_service(request: Any, response: Any) -> Any:
            response.success = controller.choose(request.command_type) is None
            return response

        def on_parameters(
            request: SetParameters.Request, response: SetParameters.Response
        ) -> SetParameters.Response:
            response.results = [_choose(controller, parameter) for parameter in request.parameters]
            return response

        parameters = f"{switch.rpartition('/')[0]}/set_parameters"
        self._node.create_service(SetParameters, parameters, on_parameters)
        try:
            service = load_type("moveit_msgs/srv/ServoCommandType")
        except NodeError:
            return
        self._node.create_service(service, switch, on_service)


def _choose(controller: ServoController, parameter: Any) -> SetParametersResult:
    if parameter.name != "command_type":
        reason = f"there is no parameter {parameter.name!r}; valid: command_type"
    else:
        reason = controller.choose(parameter.value.integer_value) or ""
    return SetParametersResult(successful=not reason, reason=reason)
