"""Subscriptions of the control loop: messages become values at the edge, the newest one wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Bool, String

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError, InstructionError, StateError, VlaError
from vla_ros.robot_config import RobotConfig
from vla_ros.ros import convert
from vla_ros.ros.camera_feed import CameraFeed
from vla_ros.ros.edge import Throttle, guarded
from vla_ros.ros.qos_watch import QosWatch
from vla_ros.runtime import ControlLoop

# REP 2003: best effort hears every publisher. Depth 1: an old picture is of no use.
_SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# Volatile hears latched publishers (`ros2 topic pub`) and plain ones alike; a latched subscription
# would not hear the plain ones. What is said while the node is not active does not count: an arm
# must not set off for a sentence of yesterday.
_INSTRUCTION_QOS = QoSProfile(depth=1)
_BUTTON_QOS = QoSProfile(depth=10)
# A button that was pressed before we came is told by a latched publisher, and to such as this only.
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(kw_only=True)
class TopicCount:
    """What arrived on a topic: messages taken and refused, and why the last one was refused."""

    taken: int = 0
    refused: int = 0
    last_reason: str = ""
    throttle: Throttle = field(default_factory=Throttle)
    _told: tuple[int, int] = (0, 0)

    def take_new(self) -> tuple[int, int]:
        """Number of messages taken and refused since the last call."""
        taken, refused = self._told
        self._told = self.taken, self.refused
        return self.taken - taken, self.refused - refused


class Inputs:
    """Subscribes to the cameras, the joint states and the instruction, and feeds a loop.

    Attributes:
        counts: By topic.
        is_paused: Pictures and joint states are dropped, while the clock stands still.
    """

    def __init__(
        self,
        node: Node,
        robot: RobotConfig,
        cameras: Iterable[str],
        loop: ControlLoop,
        qos: QosWatch,
    ) -> None:
        self.counts: dict[str, TopicCount] = {}
        self.is_paused = False
        self._node = node
        self._robot = robot
        self._loop = loop
        self._qos = qos
        self._is_listening = False
        self._text: str | None = None
        self._subscriptions: list[Subscription] = []
        self._feeds = [self._feed(name) for name in cameras]
        self._latched: Subscription | None = None
        self._subscribe(JointState, robot.state.topic, self._take_state, _SENSOR_QOS)
        self._subscribe(String, robot.instruction_topic, self._take_text, _INSTRUCTION_QOS)
        self._subscribe_buttons()

    def unconnected(self) -> set[str]:
        """Topics with a publisher that we cannot hear."""
        return {
            subscription.topic_name
            for subscription in self._subscriptions
            if subscription.get_publisher_count()
            < self._node.count_publishers(subscription.topic_name)
        }

    @property
    def is_settled(self) -> bool:
        """Whether every picture that arrived has been decoded."""
        return all(feed.is_settled for feed in self._feeds)

    def start_listening(self) -> None:
        """Follow the instructions that arrive from now on."""
        self._is_listening, self._text = True, None

    def stop_listening(self) -> None:
        """Drop the instructions that arrive from now on."""
        self._is_listening = False

    def close(self) -> None:
        """Remove the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        for feed in self._feeds:
            feed.close()
        self._feeds.clear()
        if self._latched is not None:
            self._node.destroy_subscription(self._latched)
            self._latched = None

    def _feed(self, name: str) -> CameraFeed:
        """Subscribe to a camera, and to its calibration where it is asked for."""
        camera = self._robot.cameras[name]

        def put(frame: Frame) -> None:
            if not self.is_paused:
                self._loop.put_frame(name, frame)

        def refuse(error: VlaError) -> None:
            self._refuse(self.counts[camera.topic], camera.topic, error)

        feed = CameraFeed(self._node, camera, put, refuse)
        self._subscribe(feed.decoder.kind, camera.topic, feed.take, _SENSOR_QOS)
        if camera.camera_info is not None:
            self._subscribe(CameraInfo, camera.camera_info, feed.decoder.set_info, _SENSOR_QOS)
        return feed

    def _subscribe_buttons(self) -> None:
        safety, interlocks = self._robot.safety, self._loop.interlocks
        stop_topic = safety.emergency_stop_topic
        if stop_topic is not None:

            def press(msg: Bool) -> None:
                interlocks.put_emergency_stop(msg.data)

            self._subscribe(Bool, stop_topic, press, _BUTTON_QOS)
            # Not watched for its QoS: that it does not match a plain publisher is meant.
            callback = guarded(self._node.get_logger(), press)
            self._latched = self._node.create_subscription(Bool, stop_topic, callback, _LATCHED_QOS)
        if safety.deadman is not None:

            def hold(msg: Bool) -> None:
                interlocks.put_deadman(msg.data)

            self._subscribe(Bool, safety.deadman.topic, hold, _BUTTON_QOS)

    def _subscribe(
        self, kind: type, topic: str, take: Callable[[Any], None], qos: QoSProfile
    ) -> None:
        count = self.counts[topic] = TopicCount()

        def on_message(msg: Any) -> None:
            self._count(count, topic, take, msg)

        on_mismatch = self._qos.callback(self._node.resolve_topic_name(topic))
        events = SubscriptionEventCallbacks(incompatible_qos=on_mismatch)
        callback = guarded(self._node.get_logger(), on_message)
        self._subscriptions.append(
            self._node.create_subscription(kind, topic, callback, qos, event_callbacks=events)
        )

    def _count(self, count: TopicCount, topic: str, take: Callable[[Any], None], msg: Any) -> None:
        try:
            take(msg)
            count.taken += 1
        except (ImageError, StateError, InstructionError) as error:
            self._refuse(count, topic, error)

    def _refuse(self, count: TopicCount, topic: str, error: VlaError) -> None:
        count.refused += 1
        count.last_reason = str(error)
        text = count.throttle.admit(f"{topic}: message dropped: {error}")
        if text:
            self._node.get_logger().warning(text)

    def _take_state(self, msg: JointState) -> None:
        if not self.is_paused:
            self._loop.put_state(convert.state_from_msg(msg, self._robot))

    def _take_text(self, msg: String) -> None:
        if not self._is_listening:
            self._node.get_logger().info(f"not active: instruction dropped: {msg.data!r}")
            return
        self._loop.set_instruction(msg.data)
        if msg.data != self._text:
            self._text = msg.data
            self._node.get_logger().info(f"instruction: {msg.data!r}")
