"""What the loop and the sink hear when drivers and other commanders come and go."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rclpy.node import Node

from vla_ros.ros.inputs import Inputs
from vla_ros.ros.neighbours import Neighbours
from vla_ros.ros.qos_watch import QosWatch
from vla_ros.runtime.interlocks import Interlocks

TOPIC = "/arm/commands"


class Sink:
    """A sink whose driver, rivals and obstacle are what the test says."""

    def __init__(self):
        self.heard, self.others, self.trouble, self.reconnected = 1, [], "", 0

    def listeners(self):
        return {TOPIC: self.heard}

    def rivals(self):
        return {TOPIC: self.others}

    def obstacle(self):
        return self.trouble

    def reconnect(self):
        self.reconnected += 1
        self.trouble = "not confirmed yet"


class Loop:
    """Counts how often it is told to go on from the measured state."""

    def __init__(self, robot):
        self.interlocks, self.reseeded = Interlocks(robot.safety), 0

    def reseed(self):
        self.reseeded += 1


@pytest.fixture
def watch(context, spinner, robot):
    node = Node("watcher", context=context)
    spinner.add(node)
    sink, loop = Sink(), Loop(robot)
    inputs = Inputs(node, robot, [], loop, QosWatch(node.get_logger()))
    neighbours = Neighbours(node, robot, sink, inputs, loop)
    yield neighbours.look, sink, loop
    neighbours.close()


def test_a_driver_that_is_back_is_agreed_with_anew_and_finds_the_arm_where_it_is(watch):
    look, sink, loop = watch
    look()
    assert (loop.interlocks.unheard, sink.reconnected, loop.reseeded) == ("", 0, 0)
    sink.heard = 0
    look()
    assert loop.interlocks.unheard == f"nobody listens to our commands on {TOPIC}"
    sink.heard = 1
    look()
    assert loop.interlocks.unheard == "not confirmed yet", "not commanded before it has agreed"
    assert (sink.reconnected, loop.reseeded) == (1, 0)
    look()
    sink.trouble = ""
    look()
    assert (loop.interlocks.unheard, sink.reconnected, loop.reseeded) == ("", 1, 1)
    look()
    assert loop.reseeded == 1


def test_the_arm_is_taken_over_anew_when_the_last_of_those_in_the_way_is_gone(watch):
    look, sink, loop = watch
    sink.others, sink.heard = ["/teleop"], 0
    look()
    sink.others = []
    look()
    assert loop.reseeded == 0
    sink.heard = 1
    look()
    sink.trouble = ""
    look()
    assert loop.reseeded == 1


def test_a_button_that_is_just_there_is_given_time_to_say_that_it_is_pressed(
    context, spinner, robot
):
    safety = replace(robot.safety, emergency_stop_topic="/stop_button")
    guarded_robot = replace(robot, safety=safety)
    node = Node("watcher", context=context)
    spinner.add(node)
    loop = Loop(guarded_robot)
    inputs = SimpleNamespace(hears_emergency_stop=False)
    neighbours = Neighbours(node, guarded_robot, Sink(), inputs, loop)
    neighbours.look()
    assert loop.interlocks.no_button == "nobody publishes the emergency stop on /stop_button"
    inputs.hears_emergency_stop = True
    started_s = time.monotonic()
    neighbours.look()
    assert "is just there" in loop.interlocks.no_button
    spinner.until(lambda: not loop.interlocks.no_button, "the button counts")
    assert time.monotonic() - started_s > 0.3
    neighbours.close()
