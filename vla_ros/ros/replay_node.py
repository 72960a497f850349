"""The node of a replay, and the player that is its cameras, arm, person and clock.

All of it happens on topics of their own below a namespace, so that no arm moves and no other node
is disturbed, whoever shares the ROS domain.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.ros.policy_source import PolicySource
from vla_ros.ros.replay_topics import command_topics
from vla_ros.ros.vla_node import VlaNode

CLOCK, DIAGNOSTICS, STATUS = "/clock", "/diagnostics", "/vla_node/status"
# Far longer than a plan takes: the replay's clock stands still while the policy computes.
_CLOCK_TIMEOUT_S = 60.0
_COMMAND_QOS = QoSProfile(depth=1000)


def servo_parameters(robot: RobotConfig) -> str:
    """Name of MoveIt Servo's parameter service."""
    return f"{robot.arm_sink.switch.rpartition('/')[0]}/set_parameters"


def remappings(topics: Iterable[str]) -> list[str]:
    """Arguments that move the names of a node below a namespace of this process."""
    space = f"/vla_replay_{os.getpid()}"
    # A name without a leading slash is below the namespace anyway.
    absolute = {topic for topic in topics if topic.startswith("/")}
    moved = [f"{one}:={space}{one}" for one in sorted({CLOCK, DIAGNOSTICS, STATUS, *absolute})]
    return [
        "--ros-args",
        "-r",
        f"__ns:={space}",
        *(word for rule in moved for word in ("-r", rule)),
    ]


def nanoseconds(time_s: float) -> int:
    """Nanoseconds of which rclpy's clock makes `time_s`, a time read from `~/status`.

    Floats of today's time are 240 ns apart; small ones of a simulation are finer than the status.
    """
    nearest = round(Fraction(time_s) * 1_000_000_000)
    around = sorted(range(nearest - 1024, nearest + 1025, 64), key=lambda one: abs(one - nearest))
    return next((one for one in around if one * 1e-9 == time_s), nearest)


def create_node(
    robot_file: Path,
    checkpoint: Path,
    folder: Path,
    source: PolicySource,
    arguments: list[str],
    context: Context,
) -> VlaNode:
    """The node as it runs on a robot, by a clock that the player sets.

    Args:
        robot_file: The arm.
        checkpoint: Folder of the policy.
        folder: For what the node writes on a fault.
        source: The policy, and its worker.
        arguments: Of `remappings`.
        context: Where to communicate.
    """
    values = {
        "robot_file": str(robot_file),
        "checkpoint": str(checkpoint),
        "policy": "in_process",
        "threads": 1,
        "recordings": str(folder),
        "clock_timeout_s": _CLOCK_TIMEOUT_S,
        "use_sim_time": True,
    }
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return VlaNode(
        source,
        context=context,
        cli_args=arguments,
        use_global_arguments=False,
        parameter_overrides=overrides,
    )


class Player(Node):
    """Says what was recorded, and hears what the node commands.

    Attributes:
        sent: Topic, time [ns] and message of every command, in the order in which they came.
        status_ns: When each status was sent.
    """

    def __init__(self, robot: RobotConfig, arguments: list[str], context: Context) -> None:
        super().__init__("player", context=context, cli_args=arguments, use_global_arguments=False)
        self.sent: list[tuple[str, int, Any]] = []
        self.status_ns: list[int] = []
        self._clock = self.create_publisher(Clock, CLOCK, 1)
        self._inputs: dict[str, Any] = {}
        for topic, kind in command_topics(robot).items():
            self._hear(topic, kind)
        self.create_subscription(DiagnosticStatus, STATUS, self._on_status, _COMMAND_QOS)
        if robot.arm_sink.sink in SERVO_SINKS:
            self.create_service(SetParameters, servo_parameters(robot), _agree)

    def offer(self, kinds: dict[str, Any]) -> None:
        """Create publishers, by topic and type."""
        self._inputs = {t: self.create_publisher(kind, t, 1) for t, kind in kinds.items()}

    @property
    def is_heard(self) -> bool:
        """Whether the node listens to all that is offered."""
        return all(publisher.get_subscription_count() for publisher in self._inputs.values())

    def say(self, topic: str, content: bytes) -> None:
        """Publish a serialised message."""
        self._inputs[topic].publish(content)

    def set_clock(self, time_s: float) -> None:
        """Publish the time."""
        seconds, rest = divmod(nanoseconds(time_s), 1_000_000_000)
        self._clock.publish(Clock(clock=Time(sec=seconds, nanosec=rest)))

    def _hear(self, topic: str, kind: Any) -> None:
        def on_command(msg: Any, info: dict[str, int]) -> None:
            self.sent.append((topic, info["source_timestamp"], msg))

        self.create_subscription(kind, topic, on_command, _COMMAND_QOS)

    def _on_status(self, msg: DiagnosticStatus, info: dict[str, int]) -> None:
        self.status_ns.append(info["source_timestamp"])


def _agree(
    request: SetParameters.Request, response: SetParameters.Response
) -> SetParameters.Response:
    """As MoveIt Servo, to its command type."""
    response.results = [SetParametersResult(successful=True) for _ in request.parameters]
    return response
