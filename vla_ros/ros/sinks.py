"""Where commands leave the node: the sinks of the arm and of the gripper, as one."""

from __future__ import annotations

from rclpy.lifecycle import LifecycleNode

from vla_ros.datatypes import Command
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.ros import convert
from vla_ros.ros.arm_sinks import Lookahead, create_arm_sink
from vla_ros.ros.command_publishers import CommandPublishers
from vla_ros.ros.gripper_sinks import GripperActionSink, create_gripper_sink
from vla_ros.ros.qos_watch import QosWatch
from vla_ros.ros.servo import ServoSwitch


class CommandSink:
    """Sends commands to the drivers that the robot file names."""

    def __init__(
        self, node: LifecycleNode, robot: RobotConfig, qos: QosWatch, loop: Lookahead
    ) -> None:
        """Connect.

        Raises:
            NodeError: A message package that a sink needs is not installed.
        """
        self._publishers = CommandPublishers(node, qos)
        self._last: Command | None = None
        self._arm = create_arm_sink(robot, self._publishers, loop)
        self._gripper = create_gripper_sink(node, robot, self._publishers)
        is_servo = robot.arm_sink.sink in SERVO_SINKS
        self._switch = ServoSwitch(node, robot) if is_servo else None

    @property
    def takes_path(self) -> bool:
        """Whether `publish` can be given the rest of a stop, which the driver follows then."""
        return self._arm.takes_path

    def publish(self, *commands: Command) -> None:
        """Send the command of this tick to the drivers, or those of several ticks until rest."""
        self._last = commands[-1]
        self._arm.send(commands, is_end=len(commands) > 1)
        if self._gripper is not None:
            self._gripper.send(self._last)

    def hold(self) -> None:
        """Send the last command once more, at rest; nothing when there was none."""
        if self._last is not None:
            self._arm.send([convert.hold_of(self._last)], is_end=True)
            if self._gripper is not None:
                self._gripper.send(self._last)

    def pause(self) -> None:
        """A tick without a command: neither a hold nor the next command goes on from the last."""
        self._last = None
        self._arm.begin()

    def forget(self) -> None:
        """Start anew at an activation."""
        self.pause()
        self.reconnect()
        if self._gripper is not None:
            self._gripper.begin()

    def reconnect(self) -> None:
        """Take nothing that was agreed with the arm's driver for granted: it may have restarted."""
        if self._switch is not None:
            self._switch.begin()

    def obstacle(self) -> str:
        """Why the arm's driver takes no commands yet; empty when it does."""
        return "" if self._switch is None else self._switch.obstacle()

    def flush(self, timeout_s: float) -> None:
        """Wait until every driver has acknowledged, at most `timeout_s` each."""
        self._publishers.flush(timeout_s)

    def listeners(self) -> dict[str, int]:
        """Number of listeners by topic or action."""
        listeners = self._publishers.listeners()
        if isinstance(self._gripper, GripperActionSink):
            listeners[self._gripper.name] = int(self._gripper.is_heard)
        return listeners

    def unconnected(self) -> set[str]:
        """Topics with a subscription that cannot hear us."""
        return self._publishers.unconnected()

    def rivals(self) -> dict[str, list[str]]:
        """Nodes of other publishers of commands, by topic; one that was killed stays 20 s."""
        return self._publishers.rivals()

    def close(self) -> None:
        """Disconnect."""
        for part in (self._switch, self._gripper):
            if hasattr(part, "close"):
                part.close()
        self._publishers.close()
