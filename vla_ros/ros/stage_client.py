"""A plain rclpy client of `sim_node` and `vla_node`: says, asks, and keeps what it hears."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from vla_ros.datatypes import RobotState
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.camera_decoder import CameraDecoder
from vla_ros.ros.convert import seconds_from_stamp, state_from_msg
from vla_ros.ros.take import EpisodeReport, LoopStatus, Take

SIM_NODE, VLA_NODE = "sim_node", "vla_node"
_SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class StageClient(Node):
    """Keeps the newest of everything, and passes it on to the take of the running episode.

    Attributes:
        report: Latest of `sim_node`; `None` before the first, like the next two.
        status: Latest of `vla_node`.
        state: Latest joint state.
        take: What the running episode is recorded in; `None` between two.
        heard_s: Steady time at which each node was last heard, by its name.
    """

    def __init__(self, robot: RobotConfig, context: Context, *, with_pictures: bool) -> None:
        """Connect.

        Args:
            robot: The robot file with the topics.
            context: Where to communicate.
            with_pictures: Whether to hear the cameras, which takes a tenth of a core, and plans.
        """
        super().__init__("stage", context=context)
        self.report: EpisodeReport | None = None
        self.status: LoopStatus | None = None
        self.state: RobotState | None = None
        self.take: Take | None = None
        self.heard_s: dict[str, float] = {}
        self.cameras = tuple(robot.cameras) if with_pictures else ()
        self._robot = robot
        self._words = self.create_publisher(String, robot.instruction_topic, QoSProfile(depth=1))
        self._hear(String, f"/{SIM_NODE}/episode", self._on_report, _LATCHED_QOS)
        self._hear(DiagnosticStatus, f"/{VLA_NODE}/status", self._on_status, QoSProfile(depth=10))
        self._hear(JointState, robot.state.topic, self._on_joints, _SENSOR_QOS)
        for name in self.cameras:
            decoder = CameraDecoder(replace(robot.cameras[name], rectify=False))
            take = self._image_taker(name, decoder)
            self._hear(decoder.kind, robot.cameras[name].topic, take, _SENSOR_QOS)
        if with_pictures:
            plan = f"/{VLA_NODE}/plan"
            self._hear(MarkerArray, f"{plan}/markers", self._on_markers, QoSProfile(depth=5))
            self._hear(JointState, f"{plan}/joint_states", self._on_plan_end, QoSProfile(depth=5))
        self.reset_scene = self.create_client(Trigger, f"/{SIM_NODE}/reset")
        self.set_scene = self.create_client(SetParameters, f"/{SIM_NODE}/set_parameters")
        self.change_state = self.create_client(ChangeState, f"/{VLA_NODE}/change_state")
        self.get_state = self.create_client(GetState, f"/{VLA_NODE}/get_state")

    def say(self, text: str) -> None:
        """Publish an instruction."""
        self._words.publish(String(data=text))

    @property
    def is_heard(self) -> bool:
        """Whether somebody listens to the instructions."""
        return self._words.get_subscription_count() > 0

    def _hear(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> None:
        self.create_subscription(kind, topic, callback, qos)

    def _on_report(self, msg: String) -> None:
        self.heard_s[SIM_NODE] = time.monotonic()
        self.report = EpisodeReport.from_json(msg.data)
        if self.take is not None:
            self.take.on_report(self.report)

    def _on_status(self, msg: DiagnosticStatus) -> None:
        self.heard_s[VLA_NODE] = time.monotonic()
        values = {pair.key: pair.value for pair in msg.values}
        self.status = LoopStatus.from_values(msg.message, values)
        if self.take is not None:
            self.take.on_status(self.status)

    def _on_joints(self, msg: JointState) -> None:
        self.state = state_from_msg(msg, self._robot)
        if self.take is not None:
            self.take.on_state(self.state)

    def _on_markers(self, msg: MarkerArray) -> None:
        path = next((marker for marker in msg.markers if marker.type == Marker.LINE_STRIP), None)
        if self.take is None or path is None:
            return
        path_m = np.array([(point.x, point.y, point.z) for point in path.points])
        self.take.on_plan_path(path_m, seconds_from_stamp(path.header.stamp))

    def _on_plan_end(self, msg: JointState) -> None:
        if self.take is not None:
            self.take.on_plan_end(state_from_msg(msg, self._robot))

    def _image_taker(self, name: str, decoder: CameraDecoder) -> Callable[[Any], None]:
        def on_image(msg: Any) -> None:
            if self.take is not None:
                self.take.on_frame(name, decoder.frame(msg))

        return on_image
