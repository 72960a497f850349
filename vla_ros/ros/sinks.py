"""Where commands leave the node: one streamed trajectory point per tick for each controller."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import Command
from vla_ros.robot_config import RobotConfig
from vla_ros.ros import convert
from vla_ros.ros.qos_watch import QosWatch

# Reliable: a controller that misses the last hold would keep moving.
_QOS = QoSProfile(depth=1)


class TrajectorySink:
    """Publishes commands to the `joint_trajectory_controller`s of the arm and of the gripper.

    The publishers are lifecycle publishers: rclpy drops what is published while inactive.
    """

    def __init__(self, node: LifecycleNode, robot: RobotConfig, qos: QosWatch) -> None:
        self._node = node
        self._robot = robot
        self._last: Command | None = None
        self._publishers: list[LifecyclePublisher] = []
        self._arm = self._create(robot.arm_sink.topic, qos)
        self._gripper = self._create(robot.gripper_sink.topic, qos) if robot.gripper_sink else None

    def _create(self, topic: str, qos: QosWatch) -> LifecyclePublisher:
        on_mismatch = qos.callback(self._node.resolve_topic_name(topic))
        events = PublisherEventCallbacks(incompatible_qos=on_mismatch)
        publisher = self._node.create_lifecycle_publisher(
            JointTrajectory, topic, _QOS, event_callbacks=events
        )
        self._publishers.append(publisher)
        return publisher

    def publish(self, *commands: Command) -> None:
        """Send the command of this tick to the drivers, or those of several ticks to come."""
        self._last = commands[-1]
        self._arm.publish(convert.trajectory_from_commands(commands, self._robot))
        gripper = convert.gripper_trajectory_from_command(self._last, self._robot)
        if gripper is not None and self._gripper is not None:
            self._gripper.publish(gripper)

    def hold(self) -> None:
        """Send the last command once more, at rest; nothing when there was none."""
        if self._last is not None:
            self.publish(convert.hold_of(self._last))

    def forget(self) -> None:
        """Start anew: a hold must never repeat a pose of an earlier activation."""
        self._last = None

    def flush(self, timeout_s: float) -> None:
        """Wait until every driver has acknowledged, at most `timeout_s` each."""
        for publisher in self._publishers:
            publisher.wait_for_all_acked(Duration(seconds=timeout_s))

    def listeners(self) -> dict[str, int]:
        """Number of subscriptions by topic."""
        return {p.topic_name: p.get_subscription_count() for p in self._publishers}

    def unconnected(self) -> set[str]:
        """Topics with a subscription that cannot hear us."""
        return {
            publisher.topic_name
            for publisher in self._publishers
            if publisher.get_subscription_count()
            < self._node.count_subscribers(publisher.topic_name)
        }

    def rivals(self) -> dict[str, list[str]]:
        """Nodes of other publishers of commands, by topic; one that was killed stays 20 s."""
        return {publisher.topic_name: self._others(publisher) for publisher in self._publishers}

    def _others(self, publisher: LifecyclePublisher) -> list[str]:
        infos = self._node.get_publishers_info_by_topic(publisher.topic_name)
        names = [f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos]
        # rclpy does not tell a publisher's id. One entry of our name is ours; another one is of a
        # second node that was started under the same name.
        us = self._node.get_fully_qualified_name()
        if us in names:
            names.remove(us)
        return sorted(set(names))

    def close(self) -> None:
        """Remove the publishers; `destroy_publisher` would leave them managed by the node."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)
        self._publishers.clear()
