"""How a command goes to the arm: one class for each kind of driver, chosen by the robot file."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import Command, FloatArray, RobotState
from vla_ros.robot_config import RobotConfig
from vla_ros.ros import convert
from vla_ros.ros.command_publishers import CommandPublishers
from vla_ros.ros.servo import ServoSwitch, pose_msg, twist_msg

# Of the whole remaining plan: often enough for a new chunk to be followed soon, rare enough for the
# controller to get somewhere.
_PLAN_PERIOD_S = 0.1


class Lookahead(Protocol):
    """What a control loop tells beside its commands."""

    @property
    def measured(self) -> RobotState | None:
        """Newest joint state."""

    def plan_ahead(self, now_s: float) -> list[Command]:
        """The commands that would follow if nothing new came, until rest."""


class ArmSink(Protocol):
    """Sends commands to the arm's driver."""

    def begin(self) -> None:
        """Start anew at an activation."""

    def obstacle(self) -> str:
        """Why the driver takes no commands yet; empty when it does."""

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Send the command of this tick; at the end, those of the ticks to come until rest."""


def create_arm_sink(
    node: LifecycleNode, robot: RobotConfig, publishers: CommandPublishers, loop: Lookahead
) -> ArmSink:
    """The sink that the robot file names.

    Raises:
        NodeError: A message package that it needs is not installed.
    """
    match robot.arm_sink.sink:
        case "joint_trajectory":
            return TrajectorySink(robot, publishers)
        case "joint_trajectory_chunk":
            return PlanSink(robot, publishers, loop)
        case "forward_command":
            return ForwardSink(robot, publishers)
        case "servo_twist":
            return TwistSink(node, robot, publishers, loop)
        case _:
            return PoseSink(node, robot, publishers)


class _Plain:
    """A driver that takes commands at any time."""

    def begin(self) -> None:
        """Nothing is kept."""

    def obstacle(self) -> str:
        """None."""
        return ""


class TrajectorySink(_Plain):
    """One point a tick for a `joint_trajectory_controller`, with velocities."""

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers) -> None:
        self._robot = robot
        self._publisher = publishers.create(JointTrajectory, robot.arm_sink.topic)

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the points."""
        self._publisher.publish(convert.trajectory_from_commands(commands, self._robot))


class PlanSink:
    """The whole rest of the plan for a `joint_trajectory_controller`, ten times a second.

    The plan ends at rest: when this node dies the controller finishes it and stands still.
    """

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers, loop: Lookahead) -> None:
        self._robot = robot
        self._loop = loop
        self._publisher = publishers.create(JointTrajectory, robot.arm_sink.topic)
        self.begin()

    def begin(self) -> None:
        """Send at the next tick."""
        self._sent_s = float("-inf")

    def obstacle(self) -> str:
        """None."""
        return ""

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the plan when it is time to, the end at once."""
        now_s = commands[0].stamp_s
        is_new = not 0 <= now_s - self._sent_s < _PLAN_PERIOD_S - self._robot.tick_s / 2
        if not is_end and not is_new:
            return
        if not is_end:
            commands = [*commands, *self._loop.plan_ahead(now_s)]
        self._sent_s = now_s
        commands = [*commands[:-1], convert.hold_of(commands[-1])]
        self._publisher.publish(convert.trajectory_from_commands(commands, self._robot))


class ForwardSink(_Plain):
    """Positions for a `ForwardCommandController`, in its own order of joints."""

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers) -> None:
        self._robot = robot
        self._publisher = publishers.create(Float64MultiArray, robot.arm_sink.topic)

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the last position: this controller keeps it, and knows no path to it."""
        position = convert.by_joint(commands[-1], self._robot)
        values = array("d", [position[name] for name in self._robot.arm_sink.joints])
        self._publisher.publish(Float64MultiArray(data=values))


class TwistSink:
    """Twists of the tip for MoveIt Servo, one a tick."""

    def __init__(
        self,
        node: LifecycleNode,
        robot: RobotConfig,
        publishers: CommandPublishers,
        loop: Lookahead,
    ) -> None:
        self._robot = robot
        self._loop = loop
        self._switch = ServoSwitch(node, robot)
        self._publisher = publishers.create(TwistStamped, robot.arm_sink.topic)
        self.begin()

    def begin(self) -> None:
        """Choose Servo's command type."""
        self._last: Command | None = None
        self._switch.begin()

    def obstacle(self) -> str:
        """Whether Servo has taken the command type."""
        return self._switch.obstacle()

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the twist; the rest of a stop is one at rest, to which Servo decelerates."""
        command, measured = commands[-1], self._loop.measured
        previous, self._last = self._last, command
        if is_end:
            previous, measured = None, None
        elif _is_stale(measured, command, self._robot.state.max_age_s):
            measured = None
        self._publisher.publish(twist_msg(command, previous, measured, self._robot))

    def close(self) -> None:
        """Disconnect from Servo."""
        self._switch.close()


class PoseSink:
    """Poses of the tip for MoveIt Servo, one a tick."""

    def __init__(
        self, node: LifecycleNode, robot: RobotConfig, publishers: CommandPublishers
    ) -> None:
        self._robot = robot
        self._switch = ServoSwitch(node, robot)
        self._publisher = publishers.create(PoseStamped, robot.arm_sink.topic)
        self._last: FloatArray | None = None

    def begin(self) -> None:
        """Choose Servo's command type."""
        self._last = None
        self._switch.begin()

    def obstacle(self) -> str:
        """Whether Servo has taken the command type."""
        return self._switch.obstacle()

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the pose."""
        msg = pose_msg(commands[-1], self._last, self._robot)
        turn = msg.pose.orientation
        self._last = np.array([turn.x, turn.y, turn.z, turn.w])
        self._publisher.publish(msg)

    def close(self) -> None:
        """Disconnect from Servo."""
        self._switch.close()


def _is_stale(measured: RobotState | None, command: Command, max_age_s: float) -> bool:
    return measured is None or not abs(command.stamp_s - measured.stamp_s) <= max_age_s
