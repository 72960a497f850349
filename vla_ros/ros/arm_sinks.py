"""How a command goes to the arm: one class for each kind of driver, chosen by the robot file."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import ActionChunk, Command, FloatArray, RobotState
from vla_ros.robot_config import RobotConfig
from vla_ros.ros import convert
from vla_ros.ros.command_publishers import CommandPublishers
from vla_ros.ros.servo import pose_msg, twist_msg
from vla_ros.ros.tip_path import TipPath

# Of the whole remaining plan: often enough for a new chunk to be followed soon, rare enough for the
# controller to get somewhere.
_PLAN_PERIOD_S = 0.1
_ROUNDING = 1.001


class Lookahead(Protocol):
    """What a control loop tells beside its commands."""

    @property
    def measured(self) -> RobotState | None:
        """Newest joint state."""

    @property
    def chunk(self) -> ActionChunk | None:
        """The plan that is being played; `None` when there is none."""

    @property
    def speed_scale(self) -> float:
        """Share of the velocity limits."""

    def plan_ahead(self, now_s: float) -> list[Command]:
        """The commands that would follow if nothing new came, until rest."""


class ArmSink(Protocol):
    """Sends commands to the arm's driver.

    Attributes:
        takes_path: The driver follows the rest of a stop by itself when it is sent as one.
    """

    takes_path: bool

    def begin(self) -> None:
        """Forget what was sent: the next command does not go on from there."""

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Send the command of this tick; at the end, those of the ticks to come until rest."""


def create_arm_sink(robot: RobotConfig, publishers: CommandPublishers, loop: Lookahead) -> ArmSink:
    """The sink that the robot file names."""
    match robot.arm_sink.sink:
        case "joint_trajectory":
            return TrajectorySink(robot, publishers)
        case "joint_trajectory_chunk":
            return PlanSink(robot, publishers, loop)
        case "forward_command":
            return ForwardSink(robot, publishers)
        case "servo_twist":
            return TwistSink(robot, publishers, loop)
        case _:
            return PoseSink(robot, publishers)


class TrajectorySink:
    """One point a tick for a `joint_trajectory_controller`, with velocities."""

    takes_path = True

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers) -> None:
        self._robot = robot
        self._publisher = publishers.create(JointTrajectory, robot.arm_sink.topic)

    def begin(self) -> None:
        """Nothing is kept."""

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the points."""
        self._publisher.publish(convert.trajectory_from_commands(commands, self._robot))


class PlanSink:
    """The whole rest of the plan for a `joint_trajectory_controller`, ten times a second.

    The plan ends at rest: when this node dies the controller finishes it and stands still. Where
    it is dropped, for a stop or for another instruction, what replaces it is sent at once: the
    controller would go on with it, and have to turn back.
    """

    takes_path = True

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers, loop: Lookahead) -> None:
        self._robot = robot
        self._loop = loop
        self._publisher = publishers.create(JointTrajectory, robot.arm_sink.topic)
        self.begin()

    def begin(self) -> None:
        """Send at the next tick."""
        self._sent_s = float("-inf")
        self._epoch: int | None = None

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the plan when it is time to, the end at once."""
        now_s = commands[0].stamp_s
        chunk = self._loop.chunk
        epoch = None if chunk is None else chunk.epoch
        is_due = not 0 <= now_s - self._sent_s < _PLAN_PERIOD_S - self._robot.tick_s / 2
        if not (is_end or is_due or epoch != self._epoch):
            return
        if not is_end:
            commands = [*commands, *self._loop.plan_ahead(now_s)]
        self._sent_s, self._epoch = now_s, epoch
        commands = [*commands[:-1], convert.hold_of(commands[-1])]
        self._publisher.publish(convert.trajectory_from_commands(commands, self._robot))


class ForwardSink:
    """Positions for a `ForwardCommandController`, in its own order of joints."""

    takes_path = False

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers) -> None:
        self._robot = robot
        self._publisher = publishers.create(Float64MultiArray, robot.arm_sink.topic)

    def begin(self) -> None:
        """Nothing is kept."""

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the last position: this controller keeps it, and knows no path to it."""
        position = convert.by_joint(commands[-1], self._robot)
        values = array("d", [position[name] for name in self._robot.arm_sink.joints])
        self._publisher.publish(Float64MultiArray(data=values))


class TwistSink:
    """Twists of the tip for MoveIt Servo, one a tick."""

    takes_path = False

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers, loop: Lookahead) -> None:
        self._robot = robot
        self._loop = loop
        self._path = TipPath()
        self._publisher = publishers.create(TwistStamped, robot.arm_sink.topic)
        self.begin()

    def begin(self) -> None:
        """Begin with a standstill."""
        self._last: Command | None = None

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the twist; the rest of a stop is one at rest, to which Servo decelerates."""
        command, previous = commands[-1], self._last
        pose = self._robot.chain.forward(command.position_rad)
        if previous is None or not _continues(command, previous, self._robot):
            self._path.begin(command.stamp_s, pose)
        else:
            self._path.add(command.stamp_s, pose)
        self._last = command
        twist = np.zeros(6) if is_end else self._twist(command.stamp_s)
        self._publisher.publish(twist_msg(command, twist, self._robot))

    def _twist(self, now_s: float) -> FloatArray:
        robot, measured = self._robot, self._loop.measured
        twist = self._path.velocity(shortest_s=robot.tick_s / 2)
        if measured is None or not abs(now_s - measured.stamp_s) <= robot.state.max_age_s:
            return twist
        pose = robot.chain.forward(measured.position_rad)
        return twist + self._path.correction(pose, self._loop.speed_scale)


class PoseSink:
    """Poses of the tip for MoveIt Servo, one a tick."""

    takes_path = False

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers) -> None:
        self._robot = robot
        self._publisher = publishers.create(PoseStamped, robot.arm_sink.topic)
        self.begin()

    def begin(self) -> None:
        """Write the next turn as either of its two quaternions."""
        self._last: FloatArray | None = None

    def send(self, commands: Sequence[Command], *, is_end: bool = False) -> None:
        """Publish the pose."""
        msg = pose_msg(commands[-1], self._last, self._robot)
        turn = msg.pose.orientation
        self._last = np.array([turn.x, turn.y, turn.z, turn.w])
        self._publisher.publish(msg)


def _continues(command: Command, previous: Command, robot: RobotConfig) -> bool:
    """Whether one motion inside the limits has led from `previous` here.

    Where the arm was taken over anew in between, the way is none that it shall go in a tick.
    """
    elapsed_s = max(command.stamp_s - previous.stamp_s, robot.tick_s)
    way_rad = np.abs(command.position_rad - previous.position_rad)
    return bool((way_rad <= _ROUNDING * elapsed_s * robot.limits.velocity_rad_s).all())
