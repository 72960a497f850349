"""The publishers of commands: who listens, who commands there too, and what cannot connect."""

from __future__ import annotations

from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile

from vla_ros.ros.qos_watch import QosWatch

# Reliable: a controller that misses the last hold would keep moving.
_QOS = QoSProfile(depth=1)


class CommandPublishers:
    """Lifecycle publishers, which send nothing while the node is not active."""

    def __init__(self, node: LifecycleNode, qos: QosWatch) -> None:
        self._node = node
        self._qos = qos
        self._publishers: list[LifecyclePublisher] = []

    def create(self, kind: Any, topic: str) -> LifecyclePublisher:
        """A publisher of messages of type `kind`."""
        on_mismatch = self._qos.callback(self._node.resolve_topic_name(topic))
        events = PublisherEventCallbacks(incompatible_qos=on_mismatch)
        publisher = self._node.create_lifecycle_publisher(kind, topic, _QOS, event_callbacks=events)
        self._publishers.append(publisher)
        return publisher

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
