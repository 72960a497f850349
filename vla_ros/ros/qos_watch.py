"""Remembers which topics cannot connect because the two ends' QoS policies do not match."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.qos import qos_policy_name_from_kind


class QosWatch:
    """Collects incompatible-QoS events of a node's topics."""

    def __init__(self, logger: RcutilsLogger) -> None:
        self._events: dict[str, str] = {}
        self._logger = logger

    def callback(self, topic: str) -> Callable[[QoSRequestedIncompatibleQoSInfo], None]:
        """Event callback for a publisher or subscription of `topic`, the resolved name."""

        def on_event(info: QoSRequestedIncompatibleQoSInfo) -> None:
            policy = qos_policy_name_from_kind(info.last_policy_kind)
            problem = f"another node's QoS policy {policy} does not match ours: no data will pass"
            if self._events.get(topic) != problem:
                self._logger.error(f"{topic}: {problem}")
            self._events[topic] = problem

        return on_event

    def problems(self, unconnected: Collection[str]) -> dict[str, str]:
        """Topic → what does not match; no event tells when the other node is gone.

        Args:
            unconnected: Topics on which there is now an end that is not connected to ours.
        """
        return {topic: text for topic, text in self._events.items() if topic in unconnected}
