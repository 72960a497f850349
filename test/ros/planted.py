"""A small robot on the graph with every part in order, in which a test plants one mistake."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from rclpy.action import ActionServer
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import Frame
from vla_ros.ros.compressed_images import compressed_from_frame
from vla_ros.ros.convert import stamp_from_seconds

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NAMES = ("shoulder", "elbow", "wrist", "finger")


@dataclass
class Plan:
    """What the graph does; the defaults are in order.

    Attributes:
        frames: Frame of the pictures by camera; a camera that is not in it does not publish.
        paint: Pixels of a camera's picture of a number.
        image_type: Of the camera front.
        is_lost: Whether the pictures of a number get lost.
        age_s: Of the stamps of pictures, joint states.
        state_every: Of so many joint states one is the arm's, the others are of a lift.
        ear: A node that listens to the arm's commands, besides its controller.
        action: Type and name of the gripper's action.
        buttons: Type and QoS of the publisher on a topic, such as the emergency stop's.
        clock: Seconds per second of /clock; `None` publishes none.
    """

    frames: dict[str, str] = field(
        default_factory=lambda: {"front": "front_optical", "wrist": "wrist_optical"}
    )
    size: tuple[int, int] = (32, 32)
    encoding: str = "rgb8"
    paint: Callable[[str, int, tuple[int, int]], np.ndarray] | None = None
    image_type: type = Image
    image_qos: QoSProfile = field(default_factory=lambda: QoSProfile(depth=1))
    is_lost: Callable[[int], bool] = lambda count: False
    image_age_s: float = 0.0
    stamps_stand_still: bool = False
    names: tuple[str, ...] = NAMES
    position: tuple[float, ...] = (0.3, -0.2, 0.1, 0.04)
    with_velocity: bool = True
    with_states: bool = True
    state_age_s: float = 0.0
    state_every: int = 1
    ear: str = ""
    clock: float | None = None
    arm_type: type | None = JointTrajectory
    arm_topic: str = "/arm/joint_trajectory"
    controller: dict[str, object] = field(default_factory=dict)
    description: str = ""
    semantic: str = ""
    instruction_qos: QoSProfile | None = None
    instruction_type: type = String
    with_rival: bool = False
    action: tuple[type, str] | None = None
    buttons: dict[str, tuple[type, QoSProfile]] = field(default_factory=dict)


def noise(camera: str, count: int, size: tuple[int, int]) -> np.ndarray:
    """A picture as a camera gives it: never twice the same."""
    seed = (count, len(camera), ord(camera[0]))
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


class Drivers(Node):
    """Cameras, joint states and a gripper's controller."""

    def __init__(self, plan: Plan, context: Context) -> None:
        super().__init__("drivers", context=context)
        self._plan, self._count = plan, 0
        self._first_s = self._now_s()
        types = {"front": plan.image_type}
        self._images = {
            name: self.create_publisher(
                types.get(name, Image), f"/{name}/image_raw", plan.image_qos
            )
            for name in plan.frames
        }
        if plan.with_states:
            self._states = self.create_publisher(JointState, "/joint_states", 1)
        self.create_subscription(JointTrajectory, "/hand/joint_trajectory", lambda msg: None, 1)
        texts = {"robot_description": plan.description}
        texts["robot_description_semantic"] = plan.semantic
        for name, text in texts.items():
            if text:
                self.create_publisher(String, f"/{name}", LATCHED).publish(String(data=text))
        if plan.instruction_qos is not None:
            self.create_publisher(plan.instruction_type, "/vla/instruction", plan.instruction_qos)
        for topic, (kind, qos) in plan.buttons.items():
            self.create_publisher(kind, topic, qos)
        if plan.action is not None:
            self._server = ActionServer(self, *plan.action, lambda goal: None)
        if plan.clock is not None:
            self._clock_publisher = self.create_publisher(Clock, "/clock", 1)
        self.create_timer(0.02, self._tick)

    def _now_s(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _tick(self) -> None:
        plan, self._count = self._plan, self._count + 1
        now_s = self._now_s()
        if plan.clock is not None:
            now_s = 5.0 + plan.clock * (now_s - self._first_s)
            self._clock_publisher.publish(Clock(clock=stamp_from_seconds(now_s)))
        if plan.with_states:
            self._report(now_s - plan.state_age_s)
        shown_s = self._first_s if plan.stamps_stand_still else now_s - plan.image_age_s
        # A picture that gets lost on the wire looks, to a listener, like one that was never sent.
        for name, publisher in self._images.items():
            if not plan.is_lost(self._count):
                publisher.publish(self._picture(name, shown_s))

    def _picture(self, name: str, stamp_s: float):
        plan = self._plan
        pixels = (plan.paint or noise)(name, self._count, plan.size)
        if name == "front" and plan.image_type is not Image:
            return compressed_from_frame(Frame(pixels=pixels, stamp_s=stamp_s), plan.frames[name])
        height, width = pixels.shape[:2]
        msg = Image(height=height, width=width, encoding=plan.encoding, step=3 * width)
        msg.header.stamp = stamp_from_seconds(stamp_s)
        msg.header.frame_id = plan.frames[name]
        msg.data = array("B", pixels.tobytes())
        return msg

    def _report(self, stamp_s: float) -> None:
        plan = self._plan
        msg = JointState(name=list(plan.names), position=list(plan.position))
        msg.velocity = [0.0] * len(plan.names) if plan.with_velocity else []
        msg.header.stamp = stamp_from_seconds(stamp_s)
        if self._count % plan.state_every:
            msg.name, msg.position, msg.velocity = ["lift"], [0.5], [0.0]
        self._states.publish(msg)


def controller(plan: Plan, context: Context) -> Node:
    """The arm's controller, with the parameters that ros2_control's has."""
    node = Node("arm_controller", context=context)
    for name, value in plan.controller.items():
        node.declare_parameter(name, value)
    if plan.arm_type is not None:
        node.create_subscription(plan.arm_type, plan.arm_topic, lambda msg: None, 1)
    return node


def ear(plan: Plan, context: Context) -> Node:
    """Somebody who listens to the commands and moves nothing."""
    node = Node(plan.ear, context=context)
    node.create_subscription(JointTrajectory, "/arm/joint_trajectory", lambda msg: None, 10)
    return node


def rival(context: Context) -> Node:
    """Somebody else who commands the arm."""
    node = Node("teleop", context=context)
    node.create_publisher(JointTrajectory, "/arm/joint_trajectory", 1)
    return node
