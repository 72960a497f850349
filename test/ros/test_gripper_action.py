"""Goals of a gripper's action, against a real action server.

The wheels have no control_msgs. A goal of test_msgs stands in, which carries one whole number: the
position in micrometres.
"""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from vla_ros.datatypes import Command
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import GripperSinkConfig, Hysteresis
from vla_ros.ros.gripper_sinks import GripperActionSink

Fibonacci = pytest.importorskip("test_msgs.action").Fibonacci
ACTION = "/hand/gripper_cmd"


class Goal(Fibonacci.Goal):
    """As GripperCommand's: `command.position` and `command.max_effort`."""

    def __init__(self) -> None:
        super().__init__()
        self.command = GoalCommand(self)


class GoalCommand(SimpleNamespace):
    def __init__(self, goal: Fibonacci.Goal) -> None:
        super().__init__(max_effort=0.0)
        self.__dict__["goal"] = goal

    def __setattr__(self, name: str, value: float) -> None:
        super().__setattr__(name, value)
        if name == "position":
            self.goal.order = round(value * 1e6)


class GripperAction(Fibonacci):
    Goal = Goal


class Gripper:
    """An action server that notes its goals, and may refuse them."""

    def __init__(self, node: Node) -> None:
        self.goals_um: list[int] = []
        self.reached = 0
        self.refuses = False
        self.server = ActionServer(
            node,
            Fibonacci,
            ACTION,
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            cancel_callback=lambda request: CancelResponse.REJECT,
        )

    def _on_goal(self, request: Fibonacci.Goal) -> GoalResponse:
        self.goals_um.append(request.order)
        return GoalResponse.REJECT if self.refuses else GoalResponse.ACCEPT

    def _execute(self, handle) -> Fibonacci.Result:
        handle.succeed()
        self.reached += 1
        return Fibonacci.Result()


@pytest.fixture
def sink(context, spinner, robot: RobotConfig):
    """The node's side; a gripper is 0 to 0.04 m open."""
    config = GripperSinkConfig(
        meaning="open_fraction", sink="gripper_command", topic=ACTION, hysteresis=Hysteresis()
    )
    node = LifecycleNode("commander", context=context)
    spinner.add(node)
    sink = GripperActionSink(node, replace(robot, gripper_sink=config), GripperAction)
    yield sink
    sink.close()


@pytest.fixture
def gripper(context, spinner):
    """Offer the action."""
    offered = []

    def offer() -> Gripper:
        node = Node("hand", context=context)
        spinner.add(node)
        offered.append(Gripper(node))
        return offered[-1]

    yield offer
    for one in offered:
        one.server.destroy()


def command(opening: float | None, stamp_s: float) -> Command:
    zeros = np.zeros(3)
    return Command(position_rad=zeros, velocity_rad_s=zeros, gripper_open=opening, stamp_s=stamp_s)


def test_a_goal_is_sent_on_a_change_only(sink, gripper, spinner):
    hand = gripper()
    spinner.until(lambda: sink.is_heard, "the action is found")
    for tick, opening in enumerate([1.0, 0.9, None, 0.8, 0.1, 0.0, 0.2]):
        sink.send(command(opening, 10.0 + tick))
    sink.send(command(0.9, 20.0))
    spinner.until(lambda: hand.reached == 3, "three goals")
    assert hand.goals_um == [40_000, 0, 40_000]


def test_a_change_that_nobody_hears_is_sent_when_the_action_is_there(sink, gripper, spinner):
    sink.send(command(0.0, 10.0))
    assert not sink.is_heard
    hand = gripper()
    spinner.until(lambda: sink.is_heard, "the action is found")
    sink.send(command(0.0, 10.01))
    spinner.until(lambda: hand.reached, "the goal")
    assert hand.goals_um == [0]


def test_a_goal_that_is_refused_is_told_and_sent_again(sink, gripper, spinner, capfd):
    hand = gripper()
    hand.refuses = True
    spinner.until(lambda: sink.is_heard, "the action is found")
    sink.send(command(0.0, 10.0))
    refusals = []

    def told() -> bool:
        refusals.append(capfd.readouterr().err)
        return "/hand/gripper_cmd refuses the gripper's goal" in "".join(refusals)

    spinner.until(told, "the refusal")
    hand.refuses = False
    sink.send(command(0.0, 10.31))
    spinner.until(lambda: hand.reached, "the goal again")
    assert hand.goals_um == [0, 0]


def test_a_gripper_that_refuses_is_asked_at_its_dwell_and_seldom_told(
    sink, gripper, spinner, capfd
):
    hand = gripper()
    hand.refuses = True
    spinner.until(lambda: sink.is_heard, "the action is found")
    end_s = time.monotonic() + 1.0
    while time.monotonic() < end_s:
        sink.send(command(0.0, time.monotonic()))
        spinner.executor.spin_once(timeout_sec=0.01)
    assert 2 <= len(hand.goals_um) <= 4  # in a second, at a dwell of 0.3 s
    assert capfd.readouterr().err.count("refuses the gripper's goal") == 1
