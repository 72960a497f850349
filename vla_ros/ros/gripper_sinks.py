"""How a command goes to the gripper: a class for each kind of driver, chosen by the robot file."""

from __future__ import annotations

from array import array
from typing import Any, Protocol

from rclpy.action import ActionClient
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import Command
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import WITH_ARM, Hysteresis
from vla_ros.ros import convert
from vla_ros.ros.command_publishers import CommandPublishers
from vla_ros.ros.edge import Throttle
from vla_ros.ros.optional_types import load_type

ACTION_TYPES = {
    "gripper_command": "control_msgs/action/GripperCommand",
    "parallel_gripper_command": "control_msgs/action/ParallelGripperCommand",
}


class GripperSink(Protocol):
    """Sends the opening of a command to the gripper's driver."""

    def begin(self) -> None:
        """Start anew at an activation."""

    def send(self, command: Command) -> None:
        """Send it; a command without an opening leaves the gripper as it is."""


def create_gripper_sink(
    node: LifecycleNode, robot: RobotConfig, publishers: CommandPublishers
) -> GripperSink | None:
    """The sink that the robot file names; `None` where nothing is sent to a gripper alone.

    Raises:
        NodeError: control_msgs is needed and not installed.
    """
    sink = robot.gripper_sink
    if sink is None or sink.sink == WITH_ARM:
        return None
    if sink.sink in ACTION_TYPES:
        return GripperActionSink(node, robot, load_type(ACTION_TYPES[sink.sink]))
    return GripperTopicSink(robot, publishers)


class GripperSwitch:
    """Two openings, closed and open, with hysteresis and a shortest time between changes."""

    def __init__(self, hysteresis: Hysteresis) -> None:
        self._hysteresis = hysteresis
        self.begin()

    def begin(self) -> None:
        """The next opening is a change, whatever it is."""
        self.take_back()
        self._changed_s = float("-inf")

    def take_back(self) -> None:
        """The last change did not happen: the next opening is a change, as soon as one may be."""
        self._is_open: bool | None = None

    def choose(self, opening: float, now_s: float) -> tuple[float, bool]:
        """0 or 1 for an opening in [0, 1], and whether that is a change."""
        limits, is_open = self._hysteresis, self._is_open
        bound = limits.close_below if is_open else limits.open_above
        wanted = opening >= 0.5 if is_open is None else opening > bound
        # A clock that was set back must not keep the gripper from moving.
        waits = 0 <= now_s - self._changed_s < limits.dwell_s
        is_change = wanted != is_open and not waits
        if is_change:
            self._is_open, self._changed_s = wanted, now_s
        return float(bool(self._is_open)), is_change


class GripperTopicSink:
    """Positions of the finger joint for a trajectory or forward controller, one a tick."""

    def __init__(self, robot: RobotConfig, publishers: CommandPublishers) -> None:
        assert robot.gripper_sink is not None
        sink = robot.gripper_sink
        self._robot = robot
        self._switch = GripperSwitch(sink.hysteresis) if sink.hysteresis else None
        self._is_trajectory = sink.sink == "joint_trajectory"
        kind = JointTrajectory if self._is_trajectory else Float64MultiArray
        self._publisher = publishers.create(kind, sink.topic)

    def begin(self) -> None:
        """Choose anew between open and closed."""
        if self._switch is not None:
            self._switch.begin()

    def send(self, command: Command) -> None:
        """Publish the position."""
        opening = command.gripper_open
        if opening is None or self._robot.gripper is None:
            return
        if self._switch is not None:
            opening, _ = self._switch.choose(opening, command.stamp_s)
        if self._is_trajectory:
            msg = convert.gripper_trajectory(opening, self._robot)
        else:
            msg = Float64MultiArray(data=array("d", [self._robot.gripper.position_m(opening)]))
        self._publisher.publish(msg)


class GripperActionSink:
    """Goals of a gripper action, sent on a change only."""

    def __init__(self, node: LifecycleNode, robot: RobotConfig, action: Any) -> None:
        """Connect.

        Args:
            node: The node.
            robot: The arm.
            action: Action type: GripperCommand or ParallelGripperCommand of control_msgs.
        """
        assert robot.gripper_sink is not None
        assert robot.gripper_sink.hysteresis is not None
        self._node = node
        self._robot = robot
        self._action = action
        self._switch = GripperSwitch(robot.gripper_sink.hysteresis)
        self._refusals = Throttle()
        self.name = node.resolve_topic_name(robot.gripper_sink.topic)
        self._client = ActionClient(node, action, robot.gripper_sink.topic)

    @property
    def is_heard(self) -> bool:
        """Whether the action is offered."""
        return bool(self._client.server_is_ready())

    def begin(self) -> None:
        """Send a goal for whatever opening comes first."""
        self._switch.begin()

    def send(self, command: Command) -> None:
        """Send a goal when the gripper is to open or close; nobody waits for its result."""
        # A change that nobody hears is made again as soon as the action is there.
        if command.gripper_open is None or not self.is_heard:
            return
        opening, is_change = self._switch.choose(command.gripper_open, command.stamp_s)
        if is_change:
            future = self._client.send_goal_async(self._goal(opening))
            future.add_done_callback(self._on_answer)

    def close(self) -> None:
        """Disconnect."""
        self._client.destroy()

    def _goal(self, opening: float) -> Any:
        robot, goal = self._robot, self._action.Goal()
        position_m = robot.gripper.position_m(opening)
        max_effort = robot.gripper_sink.max_effort
        if isinstance(goal.command, JointState):  # ParallelGripperCommand
            goal.command.name = [robot.gripper.joint]
            goal.command.position = [position_m]
            goal.command.effort = [max_effort] if max_effort else []
        else:
            goal.command.position = position_m
            goal.command.max_effort = max_effort
        return goal

    def _on_answer(self, future: Any) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            # Not at the next tick: a gripper that refuses once often refuses for a while.
            self._switch.take_back()
            text = self._refusals.admit(f"{self.name} refuses the gripper's goal")
            if text:
                self._node.get_logger().warning(text)
