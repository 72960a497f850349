"""An arm and cameras without physics: they speak at their rates, and note what the node says.

For `bench node`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import Frame
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.image_messages import image_from_frame

_STATE_HZ = 100.0
_OPEN = 0.5
_STATUS_QOS = QoSProfile(depth=1000)


@dataclass(frozen=True, kw_only=True)
class TickSeen:
    """What the node said of a tick; times are NaN without a plan.

    Attributes:
        stamp_s: When it was.
        status: What the loop did.
        image_ms: Age of the pictures behind the plan.
        chunk_ms: Age of the observation behind it.
        inference_ms: How long the policy took.
    """

    stamp_s: float
    status: str
    image_ms: float
    chunk_ms: float
    inference_ms: float


class PretendedArm(Node):
    """Follows its commands at once, shows pictures that change, and hears the node's status.

    Attributes:
        ticks: Noted so far.
    """

    def __init__(
        self, robot: RobotConfig, camera_hz: float, picture_px: int, context: Context
    ) -> None:
        """Begin to speak.

        Args:
            robot: The arm; its sink is a trajectory.
            camera_hz: Rate of all cameras.
            picture_px: Height and width of their pictures.
            context: Where to communicate.
        """
        super().__init__("pretended_arm", context=context)
        self.ticks: list[TickSeen] = []
        self._robot = robot
        middle_rad = (robot.limits.lower_rad + robot.limits.upper_rad) / 2
        self._position = dict(zip(robot.joints, middle_rad.tolist(), strict=True))
        if robot.gripper is not None:
            self._position[robot.gripper.joint] = robot.gripper.position_m(_OPEN)
        self._pixels = np.full((picture_px, picture_px, 3), 128, np.uint8)
        self._states = self.create_publisher(JointState, robot.state.topic, 5)
        self._images = [self.create_publisher(Image, c.topic, 5) for c in robot.cameras.values()]
        self._words = self.create_publisher(String, robot.instruction_topic, 1)
        sinks = [robot.arm_sink, *([robot.gripper_sink] if robot.gripper_sink else [])]
        for sink in sinks:
            self.create_subscription(JointTrajectory, sink.topic, self._follow, 10)
        self.create_subscription(DiagnosticStatus, "/vla_node/status", self._on_status, _STATUS_QOS)
        self.create_timer(1 / _STATE_HZ, self._report)
        self.create_timer(1 / camera_hz, self._show)

    @property
    def status(self) -> str:
        """The newest; empty before the first."""
        return self.ticks[-1].status if self.ticks else ""

    def say(self, text: str) -> None:
        """Publish an instruction."""
        self._words.publish(String(data=text))

    def _follow(self, msg: JointTrajectory) -> None:
        self._position.update(zip(msg.joint_names, msg.points[0].positions, strict=True))

    def _report(self) -> None:
        msg = JointState(name=list(self._position), position=array("d", self._position.values()))
        msg.header.stamp = self.get_clock().now().to_msg()
        self._states.publish(msg)

    def _show(self) -> None:
        self._pixels[0, 0] += 1
        now_s = self.get_clock().now().nanoseconds * 1e-9
        msg = image_from_frame(Frame(pixels=self._pixels, stamp_s=now_s), "camera")
        for publisher in self._images:
            publisher.publish(msg)

    def _on_status(self, msg: DiagnosticStatus) -> None:
        said = {pair.key: pair.value for pair in msg.values}
        self.ticks.append(
            TickSeen(
                stamp_s=float(said["stamp_s"]),
                status=said["status"],
                image_ms=_number(said["image_to_command_ms"]),
                chunk_ms=_number(said["chunk_age_ms"]),
                inference_ms=_number(said["inference_ms"]),
            )
        )


@contextmanager
def pretended_arm(
    robot: RobotConfig, camera_hz: float, picture_px: int
) -> Iterator[tuple[PretendedArm, Callable[[], None]]]:
    """The arm, and a function that lets it speak and listen for a moment."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    arm = PretendedArm(robot, camera_hz, picture_px, context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(arm)
    try:
        yield arm, lambda: executor.spin_once(timeout_sec=0.05)
    finally:
        executor.shutdown()
        arm.destroy_node()
        context.try_shutdown()


def _number(text: str) -> float:
    return float(text) if text else float("nan")
