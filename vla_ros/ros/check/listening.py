"""Hears the live graph for some seconds; subscribes only, commands nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import String

from vla_ros.datatypes import Frame
from vla_ros.errors import ImageError, StateError
from vla_ros.robot_config import CameraConfig, RobotConfig
from vla_ros.ros.camera_decoder import CameraDecoder
from vla_ros.ros.convert import seconds_from_stamp, state_from_msg

JOINTS = "sensor_msgs/msg/JointState"
_IMAGES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}
_BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_DISCOVERY_S, _SETTLE_S = 2.0, 0.3


def node_of(info: Any) -> str:
    """Full name of the node that a publisher or subscription of the graph is of."""
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def image_type(camera: CameraConfig) -> str:
    """Type of a camera's messages, by its transport."""
    return _IMAGES[camera.transport]


@dataclass(kw_only=True)
class HeardCamera:
    """What came from a camera.

    Attributes:
        arrived_s: Steady time of each picture.
        stamps_s: Its stamp.
        ages_s: Its age on arrival, in the clock of the graph; empty without one.
        reliable_stamps_s: Stamps of the pictures that a reliable subscription got.
        last: The newest message; its bytes are not kept beyond it.
        first_frame: The first picture that could be decoded, with `last_frame`.
        problem: Why a picture could not be decoded.
    """

    arrived_s: list[float] = field(default_factory=list)
    stamps_s: list[float] = field(default_factory=list)
    ages_s: list[float] = field(default_factory=list)
    reliable_stamps_s: set[float] = field(default_factory=set)
    last: Any = None
    first_frame: Frame | None = None
    last_frame: Frame | None = None
    problem: str = ""


@dataclass(kw_only=True)
class Heard:
    """What came from the graph.

    Attributes:
        cameras: By the robot file's name.
        states: Joint states that can be used, oldest first; `state_ages_s` are their ages on
            arrival. Others may speak on the topic too: of a lift, of the other arm.
        state_problem: Why the newest other one cannot be used.
        clock_s: Times that /clock told.
        description: URDF text of /robot_description; empty when nobody publishes it.
        semantic: SRDF text of /robot_description_semantic, MoveIt's; empty likewise.
        seconds: How long it was listened.
    """

    cameras: dict[str, HeardCamera]
    states: list[Any] = field(default_factory=list)
    state_ages_s: list[float] = field(default_factory=list)
    state_problem: str = ""
    clock_s: list[float] = field(default_factory=list)
    description: str = ""
    semantic: str = ""
    seconds: float = 0.0


class Listener(Node):
    """Subscribes to the inputs of a robot file."""

    def __init__(self, robot: RobotConfig, context: Context | None = None) -> None:
        super().__init__("vla_check", context=context)
        self.heard = Heard(cameras={name: HeardCamera() for name in robot.cameras})
        self._robot = robot
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self)

    def listen(self, seconds: float) -> Heard:
        """Wait for discovery, then keep what comes for `seconds`."""
        self._spin(_DISCOVERY_S, self._is_discovered)
        self._spin(_SETTLE_S)
        has_clock = self.count_publishers("/clock") > 0
        self._hear(Clock, "/clock", self._on_clock, _BEST_EFFORT)
        self._hear(String, "/robot_description", self._on_description, _LATCHED)
        self._hear(String, "/robot_description_semantic", self._on_semantic, _LATCHED)
        if self.types_of(self._robot.state.topic) == [JOINTS]:
            self._hear(JointState, self._robot.state.topic, self._on_state, _BEST_EFFORT)
        for name, camera in self._robot.cameras.items():
            if self.types_of(camera.topic) == [image_type(camera)]:
                self._hear_camera(name, camera)
        if has_clock:
            self._spin(1.0, lambda: self.heard.clock_s)
        started_s = time.monotonic()
        self._spin(seconds)
        self.heard.seconds = time.monotonic() - started_s
        return self.heard

    def _hear_camera(self, name: str, camera: CameraConfig) -> None:
        decoder = CameraDecoder(camera)
        self._hear(decoder.kind, camera.topic, self._image_taker(name, decoder), _BEST_EFFORT)
        if self._offers_reliable(camera.topic):
            self._hear(decoder.kind, camera.topic, self._reliable_taker(name), QoSProfile(depth=5))
        if camera.camera_info is not None:
            take = self._info_taker(name, decoder)
            self._hear(CameraInfo, camera.camera_info, take, _BEST_EFFORT)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.destroy_node()

    def types_of(self, topic: str) -> list[str]:
        """Types of a topic that is published."""
        return sorted({info.topic_type for info in self.publishers_of(topic)})

    def publishers_of(self, topic: str) -> list[Any]:
        """What the graph tells of each publisher of a topic: node, type and QoS."""
        return list(self.get_publishers_info_by_topic(self.resolve_topic_name(topic)))

    def ask(self, service: Any, name: str, request: Any, within_s: float = 1.0) -> Any:
        """Call a service; `None` when it does not answer in time."""
        client = self.create_client(service, name)
        try:
            self._spin(within_s, client.service_is_ready)
            if not client.service_is_ready():
                return None
            future = client.call_async(request)
            self._spin(within_s, future.done)
            return future.result() if future.done() else None
        finally:
            self.destroy_client(client)

    def parameter(self, node: str, name: str) -> Any:
        """A parameter of another node, or `None`; one a call: an unknown name voids all of them."""
        request = GetParameters.Request(names=[name])
        answer = self.ask(GetParameters, f"{node}/get_parameters", request)
        return _value(answer.values[0]) if answer is not None and answer.values else None

    def _is_discovered(self) -> bool:
        robot, safety = self._robot, self._robot.safety
        inputs = [robot.state.topic, *(camera.topic for camera in robot.cameras.values())]
        inputs += [topic for topic in (safety.emergency_stop_topic,) if topic is not None]
        inputs += [] if safety.deadman is None else [safety.deadman.topic]
        outputs = [robot.arm_sink.topic]
        return all(self.count_publishers(topic) for topic in inputs) and all(
            self.count_subscribers(topic) for topic in outputs
        )

    def _spin(self, seconds: float, reached: Callable[[], object] = lambda: False) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not reached():
            self._executor.spin_once(timeout_sec=0.02)

    def _offers_reliable(self, topic: str) -> bool:
        infos = self.publishers_of(topic)
        return any(i.qos_profile.reliability == ReliabilityPolicy.RELIABLE for i in infos)

    def _hear(self, kind: type, topic: str, callback: Callable, qos: QoSProfile) -> None:
        self.create_subscription(kind, topic, callback, qos)

    def _on_clock(self, msg: Clock) -> None:
        self.heard.clock_s.append(seconds_from_stamp(msg.clock))

    def _on_description(self, msg: String) -> None:
        self.heard.description = msg.data

    def _on_semantic(self, msg: String) -> None:
        self.heard.semantic = msg.data

    def _on_state(self, msg: JointState) -> None:
        try:
            state_from_msg(msg, self._robot)
        except StateError as error:
            self.heard.state_problem = str(error)
            return
        self.heard.states.append(msg)
        self.heard.state_ages_s += self._age_s(msg)

    def _age_s(self, msg: Any) -> list[float]:
        """Age of a message in the clock of the graph: /clock where it is published."""
        if self.heard.clock_s:
            return [self.heard.clock_s[-1] - seconds_from_stamp(msg.header.stamp)]
        if self.count_publishers("/clock"):
            return []
        now_s = self.get_clock().now().nanoseconds * 1e-9
        return [now_s - seconds_from_stamp(msg.header.stamp)]

    def _image_taker(self, name: str, decoder: CameraDecoder) -> Callable[[Any], None]:
        heard = self.heard.cameras[name]

        def take(msg: Any) -> None:
            heard.arrived_s.append(time.monotonic())
            heard.stamps_s.append(seconds_from_stamp(msg.header.stamp))
            heard.ages_s += self._age_s(msg)
            heard.last = msg
            try:
                heard.last_frame = decoder.frame(msg)
            except ImageError as error:
                heard.problem = str(error)
            heard.first_frame = heard.first_frame or heard.last_frame

        return take

    def _info_taker(self, name: str, decoder: CameraDecoder) -> Callable[[CameraInfo], None]:
        def take(msg: CameraInfo) -> None:
            try:
                decoder.set_info(msg)
            except ImageError as error:
                self.heard.cameras[name].problem = str(error)

        return take

    def _reliable_taker(self, name: str) -> Callable[[Any], None]:
        stamps_s = self.heard.cameras[name].reliable_stamps_s
        return lambda msg: stamps_s.add(seconds_from_stamp(msg.header.stamp))


def _value(value: ParameterValue) -> Any:
    match value.type:
        case ParameterType.PARAMETER_BOOL:
            return value.bool_value
        case ParameterType.PARAMETER_DOUBLE:
            return value.double_value
        case ParameterType.PARAMETER_STRING:
            return value.string_value
        case ParameterType.PARAMETER_STRING_ARRAY:
            return list(value.string_array_value)
        case _:
            return None
