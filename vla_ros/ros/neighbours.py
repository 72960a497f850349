"""Who else is on our command topics: looked at a few times a second, told to the loop.

The graph lists a node that was killed for up to 20 s (Fast DDS's lease), so it is asked about
rivals and listeners, never about crashes of what must be noticed at once.
"""

from __future__ import annotations

import time

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from vla_ros.robot_config import RobotConfig
from vla_ros.ros.edge import guarded
from vla_ros.ros.inputs import Inputs
from vla_ros.ros.sinks import CommandSink
from vla_ros.runtime import ControlLoop

BOOL = "std_msgs/msg/Bool"
_PERIOD_S = 0.2
_BUTTON_SPEAKS_S = 0.3


class Neighbours:
    """Tells the loop's interlocks what the graph shows; `close` ends that."""

    def __init__(
        self,
        node: Node,
        robot: RobotConfig,
        sink: CommandSink,
        inputs: Inputs,
        loop: ControlLoop,
    ) -> None:
        self._node = node
        self._emergency_stop_topic = robot.safety.emergency_stop_topic
        self._sink = sink
        self._inputs = inputs
        self._loop = loop
        self._was_deaf = False
        self._button_since_s: float | None = None
        # Steady: a driver that is gone under a stopped clock is gone.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        look = guarded(node.get_logger(), self.look)
        self._timer = node.create_timer(_PERIOD_S, look, clock=steady)

    def look(self) -> None:
        """Look at the graph now."""
        interlocks = self._loop.interlocks
        was_alone = not interlocks.rivals and not interlocks.unheard
        interlocks.rivals = self._rivals()
        interlocks.unheard = self._unheard()
        interlocks.no_button = self._no_button()
        if not was_alone and not interlocks.rivals and not interlocks.unheard:
            self._loop.reseed()

    def close(self) -> None:
        """Look no more."""
        self._node.destroy_timer(self._timer)

    def _rivals(self) -> str:
        found = [
            f"{', '.join(names)} commands on {topic} too"
            for topic, names in self._sink.rivals().items()
            if names
        ]
        hint = " (a node that was killed is listed for up to 20 s)"
        return "; ".join(found) + hint if found else ""

    def _unheard(self) -> str:
        topics = [topic for topic, count in self._sink.listeners().items() if count == 0]
        was_deaf, self._was_deaf = self._was_deaf, bool(topics)
        if topics:
            return f"nobody listens to our commands on {', '.join(topics)}"
        if was_deaf:
            self._sink.reconnect()
        return self._sink.obstacle()

    def _no_button(self) -> str:
        topic = self._emergency_stop_topic
        if topic is None:
            return ""
        deaf = self._unheard_buttons(topic)
        if deaf:
            return f"nobody can hear the emergency stop on {topic}: {', '.join(deaf)}, not {BOOL}"
        # The graph lists publishers that are not connected to us; those that we hear count.
        if not self._inputs.hears_emergency_stop:
            self._button_since_s = None
            return f"nobody publishes the emergency stop on {topic}"
        now_s = time.monotonic()
        self._button_since_s = now_s if self._button_since_s is None else self._button_since_s
        # A press that is latched arrives a little later than the connection.
        if now_s - self._button_since_s < _BUTTON_SPEAKS_S:
            return f"the emergency stop on {topic} is just there: awaiting whether it is pressed"
        return ""

    def _unheard_buttons(self, topic: str) -> list[str]:
        """Publishers of another type, which no subscription of ours can hear."""
        infos = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
        return [
            f"{info.node_namespace.rstrip('/')}/{info.node_name} publishes {info.topic_type}"
            for info in infos
            if info.topic_type != BOOL
        ]
