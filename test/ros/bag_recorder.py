"""Writes what is said on topics to an MCAP file, as rosbag2 does, which the wheels lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile

from vla_ros.robot_config import RobotConfig
from vla_ros.ros.mcap_file import Stamped, write_mcap
from vla_ros.ros.replay_topics import command_topics, stamped_topics, unstamped_topics

_QOS = QoSProfile(depth=1000)


def topics_of_run(robot: RobotConfig, cameras: tuple[str, ...]) -> dict[str, Any]:
    """Type of each topic that a replay reads."""
    inputs = dict(stamped_topics(robot, cameras).values())
    inputs |= unstamped_topics(robot, cameras) | command_topics(robot)
    return {"/vla_node/status": DiagnosticStatus, **inputs}


class BagRecorder(Node):
    """Listens from its beginning; the times are those of the senders."""

    def __init__(self, kinds: dict[str, Any], context: Context) -> None:
        super().__init__("bag_recorder", context=context)
        self.kept: list[Stamped] = []
        for topic, kind in kinds.items():
            self._hear(topic, kind)

    def last(self, topic: str) -> Any:
        """Newest message of a topic, or `None`."""
        return next((one.msg for one in reversed(self.kept) if one.topic == topic), None)

    def count(self, prefix: str) -> int:
        """Number of messages on topics that begin like this."""
        return sum(one.topic.startswith(prefix) for one in self.kept)

    def write(self, path: Path) -> Path:
        """Write what was heard until now."""
        write_mcap(path, sorted(self.kept, key=lambda one: one.at_ns))
        return path

    def _hear(self, topic: str, kind: Any) -> None:
        def on_message(msg: Any, info: dict[str, int]) -> None:
            self.kept.append(Stamped(topic=topic, at_ns=info["source_timestamp"], msg=msg))

        self.create_subscription(kind, topic, on_message, _QOS)
