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
# Three ears of a button. Best effort hears every publisher, so it tells whether anybody is there;
# reliable loses no press of one that sends reliably; a button that was pressed before we came is
# told by a latched publisher, and to a latched subscription only.
_BUTTON_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
_RELIABLE_QOS = QoSProfile(depth=10)
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
        self._emergency_stop: Subscription | None = None
        self._more_ears: list[Subscription] = []
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
    def hears_emergency_stop(self) -> bool:
        """Whether a publisher of the emergency stop is connected to us, not just in the graph."""
        stop = self._emergency_stop
        return stop is not None and stop.get_publisher_count() > 0

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
        for subscription in self._subscriptions + self._more_ears:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        self._more_ears.clear()
        self._emergency_stop = None
        for feed in self._feeds:
            feed.close()
        self._feeds.clear()

    def _feed(self, name: str) -> CameraFeed:
        """Subscribe to a camera, and to its calibration where it is asked for."""
        camera = self._robot.cameras[name]

        def put(frame: Frame) -> None:
            if not self.is_paused:
                self._loop.put_frame(name, frame)
                self._loop.ask_between_ticks()

        def refuse(error: VlaError) -> None:
            self._refuse(self.counts[camera.topic], camera.topic, error)

        feed = CameraFeed(self._node, camera, put, refuse)
        self._subscribe(feed.decoder.kind, camera.topic, feed.take, _SENSOR_QOS)
        if camera.camera_info is not None:
            self._subscribe(CameraInfo, camera.camera_info, feed.decoder.set_info, _SENSOR_QOS)
        return feed

    def _subscribe_buttons(self) -> None:
        safety, interlocks = self._robot.safety, self._loop.interlocks
        if safety.emergency_stop_topic is not None:
            self._emergency_stop = self._subscribe_button(
                safety.emergency_stop_topic,
                interlocks.put_emergency_stop,
                (_RELIABLE_QOS, _LATCHED_QOS),
            )
        if safety.deadman is not None:
            # Not latched: what it said before we came is no news.
            self._subscribe_button(safety.deadman.topic, interlocks.put_deadman, (_RELIABLE_QOS,))

    def _subscribe_button(
        self, topic: str, put: Callable[[bool], None], more: Iterable[QoSProfile]
    ) -> Subscription:
        """Subscribe best-effort, and once more for each of `more`: to hear twice does no harm."""

        def take(msg: Bool) -> None:
            put(msg.data)

        # Not watched for their QoS: that they do not match every publisher is meant.
        callback = guarded(self._node.get_logger(), take)
        self._more_ears += [
            self._node.create_subscription(Bool, topic, callback, qos) for qos in more
        ]
        return self._subscribe(Bool, topic, take, _BUTTON_QOS)

    def _subscribe(
        self, kind: type, topic: str, take: Callable[[Any], None], qos: QoSProfile
    ) -> Subscription:
        count = self.counts[topic] = TopicCount()

        def on_message(msg: Any) -> None:
            self._count(count, topic, take, msg)

        on_mismatch = self._qos.callback(self._node.resolve_topic_name(topic))
        events = SubscriptionEventCallbacks(incompatible_qos=on_mismatch)
        callback = guarded(self._node.get_logger(), on_message)
        subscription = self._node.create_subscription(
            kind, topic, callback, qos, event_callbacks=events
        )
        self._subscriptions.append(subscription)
        return subscription

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
