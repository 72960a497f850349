"""A policy of ten lines, and a plain client: what a camera, an arm and a person say and hear."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import ActionChunk, Observation
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.ros.convert import stamp_from_seconds

NAMES = ("shoulder", "elbow", "wrist", "finger")
SPEC = PolicySpec(
    robot="three",
    cameras=(CameraSpec(name="front", height_px=32, width_px=32, resize="letterbox"),),
    state_names=("shoulder", "elbow", "wrist", "gripper"),
    action_names=("shoulder", "elbow", "wrist", "gripper"),
    horizon=16,
    step_s=0.05,
)


def sway(observation: Observation) -> np.ndarray:
    """Actions (T, A): from where the arm is, each joint a way of its own; the gripper closes."""
    steps = np.arange(1, SPEC.horizon + 1)[:, None] * SPEC.step_s
    joints = observation.state.position_rad + steps * np.array([0.4, -0.3, 0.2])
    return np.hstack([joints, np.zeros_like(steps)])


class FakePolicy:
    """Answers with `act(observation)`."""

    spec = SPEC

    def __init__(self, act: Callable[[Observation], np.ndarray] = sway) -> None:
        self._act = act

    def reset(self) -> None:
        pass

    def infer(self, observation: Observation, prefix: object = None) -> ActionChunk:
        return ActionChunk(
            actions=self._act(observation),
            start_s=observation.stamp_s,
            step_s=SPEC.step_s,
            epoch=observation.epoch,
            inference_s=0.001,
        )


class Client(Node):
    """Speaks and listens on the topics of the robot file, as drivers and people do.

    Attributes:
        is_frozen: The camera shows the same picture again and again.
        position: What the arm reports, by joint name.
        names: Order in which it reports it.
        arm, hand, statuses, diagnostics: What was heard, oldest first.
    """

    def __init__(self, context: Context) -> None:
        super().__init__("client", context=context)
        self.position = {"shoulder": 0.3, "elbow": -0.2, "wrist": 0.1, "finger": 0.04}
        self.names: tuple[str, ...] = NAMES
        self.shown, self.is_frozen = 0, False
        self.arm: list[JointTrajectory] = []
        self.hand: list[JointTrajectory] = []
        self.statuses: list[DiagnosticStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.images = self.create_publisher(Image, "/front/image_raw", 1)
        self.states = self.create_publisher(JointState, "/joint_states", 1)
        self.texts = self.create_publisher(String, "/vla/instruction", 1)
        self.clock = self.create_publisher(Clock, "/clock", 1)
        deep = QoSProfile(depth=1000)
        self.create_subscription(JointTrajectory, "/arm/joint_trajectory", self.arm.append, deep)
        self.create_subscription(JointTrajectory, "/hand/joint_trajectory", self.hand.append, deep)
        self.create_subscription(DiagnosticStatus, "/vla_node/status", self.statuses.append, deep)
        self.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, deep)
        self.lifecycle = self.create_client(ChangeState, "/vla_node/change_state")
        self.stop = self.create_client(Trigger, "/vla_node/stop")
        self.reset = self.create_client(Trigger, "/vla_node/reset")

    def play(self, rate_hz: float = 50.0) -> None:
        """Publish pictures and joint states from now on; the arm reports what it was told."""
        self.create_timer(1.0 / rate_hz, self._on_play)

    def _on_play(self) -> None:
        if self.arm:
            self.position.update(
                zip(self.arm[-1].joint_names, self.arm[-1].points[0].positions, strict=True)
            )
        stamp = self.get_clock().now().to_msg()
        self.show(stamp)
        self.report(stamp)

    def show(self, stamp: Time) -> None:
        """Publish a picture."""
        msg = Image(height=32, width=32, encoding="rgb8", step=96)
        msg.header.stamp = stamp
        self.shown += not self.is_frozen
        msg.data = array("B", [self.shown % 251, *range(1, 96), *list(range(96)) * 31])
        self.images.publish(msg)

    def report(self, stamp: Time) -> None:
        """Publish the joint state."""
        msg = JointState(name=list(self.names), position=[self.position[n] for n in self.names])
        msg.header.stamp = stamp
        self.states.publish(msg)

    def say(self, text: str) -> None:
        """Publish an instruction."""
        self.texts.publish(String(data=text))

    def tell_time(self, time_s: float) -> None:
        """Publish the time on /clock."""
        self.clock.publish(Clock(clock=stamp_from_seconds(time_s)))

    def status(self) -> str:
        """Name of the newest status; empty before the first."""
        return values(self.statuses[-1])["status"] if self.statuses else ""

    def heard(self) -> tuple[int, int, int]:
        """Number of commands to the arm, to the hand, and of statuses."""
        return len(self.arm), len(self.hand), len(self.statuses)

    def diagnostic(self, part: str) -> DiagnosticStatus | None:
        """Newest report of the part `vla_node: <part>`."""
        for array_ in reversed(self.diagnostics):
            for status in array_.status:
                if status.name == f"vla_node: {part}":
                    return status
        return None


def values(status: DiagnosticStatus) -> dict[str, str]:
    """Values of a status by key."""
    return {pair.key: pair.value for pair in status.values}
