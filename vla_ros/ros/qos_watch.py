"""Remembers which topics cannot connect because the two ends' QoS policies do not match."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.qos import qos_policy_name_from_kind


class QosWatch:
    """Collects incompatible-QoS events of a node's topics.

    Attributes:
        problems: Topic → what does not match.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        self.problems: dict[str, str] = {}
        self._logger = logger

    def callback(self, topic: str) -> Callable[[QoSRequestedIncompatibleQoSInfo], None]:
        """Event callback for a publisher or subscription of `topic`."""

        def on_event(info: QoSRequestedIncompatibleQoSInfo) -> None:
            policy = qos_policy_name_from_kind(info.last_policy_kind)
            problem = f"another node's QoS policy {policy} does not match ours: no data will pass"
            if self.problems.get(topic) != problem:
                self._logger.error(f"{topic}: {problem}")
            self.problems[topic] = problem

        return on_event
