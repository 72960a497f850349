"""Every kind of output, against real subscribers: what arrives, when, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import LifecycleNode, LifecycleState
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.datatypes import ActionChunk, Command, RobotState
from vla_ros.errors import NodeError
from vla_ros.robot_config import load_robot
from vla_ros.robot_outputs import GripperSinkConfig, Hysteresis
from vla_ros.ros.convert import seconds_from_stamp
from vla_ros.ros.gripper_sinks import GripperSwitch
from vla_ros.ros.optional_types import load_type
from vla_ros.ros.qos_watch import QosWatch
from vla_ros.ros.sinks import CommandSink
from vla_ros.share import share_path

PANDA = load_robot(share_path("config/panda.yaml"))
HOME = np.array([0.0, 0.2, 0.0, -2.4, 0.0, 2.6, 0.5])
ACTIVE = LifecycleState(state_id=0, label="active")


class Loop:
    """Where the arm is, no plan, and two commands that would follow."""

    measured = chunk = None
    speed_scale = 1.0

    def plan_ahead(self, now_s):
        return [command(HOME + 0.01 * i, 0.1, now_s + 0.05 * i) for i in (1, 2)]


def command(position=HOME, speed=0.0, stamp_s=10.0, gripper_open=1.0):
    return Command(
        position_rad=position,
        velocity_rad_s=np.full(7, speed),
        gripper_open=gripper_open,
        stamp_s=stamp_s,
    )


@pytest.fixture
def make(context, spinner):
    """A sink on an active node, and what a subscriber of `kind` on the arm's topic hears."""

    def make(kind, gripper=None, **arm):
        topic = "/arm/commands"
        sink = replace(PANDA.arm_sink, topic=topic, **arm)
        robot = replace(PANDA, arm_sink=sink, gripper_sink=gripper or PANDA.gripper_sink)
        node = LifecycleNode("commander", context=context)
        listener = Node("driver", context=context)
        heard = []
        listener.create_subscription(kind, topic, heard.append, 10)
        spinner.add(node)
        spinner.add(listener)
        made = CommandSink(node, robot, QosWatch(node.get_logger()), Loop())
        LifecycleNode.on_activate(node, ACTIVE)
        spinner.until(lambda: made.listeners()[topic], "the driver listens")
        return made, heard, listener

    return make


def test_forward_command_is_in_the_controllers_order(make, spinner):
    order = PANDA.joints[::-1]
    sink, heard, _ = make(Float64MultiArray, sink="forward_command", joints=order)
    sink.publish(command())
    spinner.until(lambda: heard, "a command")
    assert heard[0].data.tolist() == HOME[::-1].tolist()


def test_finger_joint_goes_with_the_arm(make, spinner):
    gripper = GripperSinkConfig(meaning="open_fraction", sink="with_arm")
    joints = (*PANDA.joints, "panda_finger_joint1")
    sink, heard, _ = make(JointTrajectory, gripper, sink="joint_trajectory", joints=joints)
    sink.publish(command(gripper_open=0.5))
    spinner.until(lambda: heard, "a command")
    assert heard[0].joint_names == list(joints)
    assert heard[0].points[0].positions[-1] == pytest.approx(0.02)


def test_whole_plan_ends_at_rest_and_is_sent_ten_times_a_second(make, spinner):
    sink, heard, _ = make(JointTrajectory, sink="joint_trajectory_chunk")
    for tick in range(21):
        sink.publish(command(speed=0.1, stamp_s=10.0 + tick * 0.01))
    sink.hold()
    spinner.until(lambda: len(heard) == 4, "three plans and a hold")
    points = heard[0].points
    assert [p.time_from_start.nanosec for p in points] == [20_000_000, 70_000_000, 120_000_000]
    assert points[0].velocities[0] == 0.1
    assert not any(points[-1].velocities)
    assert len(heard[-1].points) == 1


def plan(epoch):
    return ActionChunk(
        actions=np.zeros((1, 8)), start_s=10.0, step_s=0.05, epoch=epoch, inference_s=0.0
    )


def test_what_replaces_a_dropped_plan_is_sent_at_once(make, spinner):
    sink, heard, _ = make(JointTrajectory, sink="joint_trajectory_chunk")
    loop = sink._arm._loop
    # Tick by tick: a plan, the next of its epoch, a stop, the first plan of another epoch.
    for tick, epoch in enumerate([1, 1, 1, None, None, None, 2, 2]):
        loop.chunk = None if epoch is None else plan(epoch)
        sink.publish(command(HOME + 0.001 * tick, speed=0.1, stamp_s=10.0 + tick * 0.01))
    sink.hold()
    spinner.until(lambda: len(heard) >= 4, "the plan, the stop, the other plan and a hold")
    sent = np.array([msg.points[0].positions[0] for msg in heard])
    np.testing.assert_allclose(sent, [0.0, 0.003, 0.006, 0.007], atol=1e-9)


def test_after_a_tick_without_a_command_no_pose_of_before_is_repeated(make, spinner):
    sink, heard, _ = make(JointTrajectory, sink="joint_trajectory")
    sink.publish(command(HOME))
    sink.pause()
    sink.hold()
    sink.publish(command(HOME + 0.5))
    sink.hold()
    spinner.until(lambda: len(heard) >= 3, "two commands and one hold")
    assert [msg.points[0].positions[0] for msg in heard] == [0.0, 0.5, 0.5]


def offer_switch(listener):
    asked = []

    def answer(request, response):
        asked.append(request.parameters[0])
        response.results = [SetParametersResult(successful=True)]
        return response

    listener.create_service(SetParameters, "/servo/set_parameters", answer)
    return asked


SERVO = {"switch": "/servo/switch_command_type", "switch_by": "parameter"}


def test_servo_gets_its_command_type_first(make, spinner):
    sink, _, listener = make(TwistStamped, sink="servo_twist", **SERVO)
    assert "does not offer /servo/set_parameters" in sink.obstacle()
    asked = offer_switch(listener)
    spinner.until(lambda: not sink.obstacle(), "Servo has confirmed")
    assert (asked[0].name, asked[0].value.integer_value) == ("command_type", 1)
    for again in (sink.forget, sink.reconnect):
        again()
        assert "has not confirmed" in sink.obstacle()
        spinner.until(lambda: not sink.obstacle(), "Servo has confirmed again")
    assert len(asked) == 3


def test_twist_moves_the_tip_as_the_command_does_and_corrects_what_is_missing(make, spinner):
    sink, heard, _ = make(TwistStamped, sink="servo_twist", **SERVO)
    before, after = HOME, HOME + 0.01 * np.arange(7) / 7
    beside = HOME + 0.01 * np.eye(7)[0]
    sink.publish(command(before, stamp_s=10.0))
    sink.publish(command(after, stamp_s=10.02))
    sink._arm._loop.measured = RobotState(
        position_rad=beside, velocity_rad_s=np.zeros(7), gripper_open=1.0, stamp_s=10.5
    )
    sink.publish(command(after, stamp_s=10.5))
    sink.hold()
    spinner.until(lambda: len(heard) == 4, "twists")
    tips = [PANDA.chain.forward(position)[:3, 3] for position in (before, after, beside)]
    linear = np.array([[m.twist.linear.x, m.twist.linear.y, m.twist.linear.z] for m in heard])
    np.testing.assert_allclose(linear[0], 0, atol=1e-12)
    np.testing.assert_allclose(linear[1], (tips[1] - tips[0]) / 0.02, atol=1e-9)
    np.testing.assert_allclose(linear[2], 2.0 * (tips[1] - tips[2]), atol=1e-9)
    np.testing.assert_array_equal(linear[3], 0)
    assert [m.header.frame_id for m in heard] == ["panda_link0"] * 4
    assert seconds_from_stamp(heard[1].header.stamp) == pytest.approx(10.02)


@pytest.mark.parametrize("pauses", [True, False])
def test_no_twist_leads_to_where_the_arm_was_taken_over_anew(make, spinner, pauses):
    sink, heard, _ = make(TwistStamped, sink="servo_twist", **SERVO)
    moved = HOME + 0.01 if pauses else HOME + 0.4
    sink.publish(command(HOME, stamp_s=10.0))
    if pauses:
        sink.pause()
    sink.publish(command(moved, stamp_s=10.02))
    sink.publish(command(moved + 0.01, stamp_s=10.04))
    spinner.until(lambda: len(heard) == 3, "twists")
    speeds = [np.abs([m.twist.linear.x, m.twist.linear.y, m.twist.linear.z]).max() for m in heard]
    assert speeds[:2] == [0.0, 0.0]
    assert 0.05 < speeds[2] < 1.0, "from there on it moves as commanded"


def test_poses_keep_their_hemisphere(make, spinner):
    sink, heard, _ = make(PoseStamped, sink="servo_pose", **SERVO)
    for count, angle in enumerate(np.linspace(-2.8, 2.8, 60)):
        sink.publish(command(np.append(HOME[:6], angle)))
        spinner.until(lambda count=count: len(heard) > count, "a pose")
    turns = np.array([[getattr(m.pose.orientation, key) for key in "xyzw"] for m in heard])
    assert np.abs(np.diff(turns, axis=0)).max() < 0.2


def test_gripper_is_told_on_a_change_only_and_not_too_often():
    switch = GripperSwitch(Hysteresis())
    # The third wants to close, but the dwell of 0.3 s since the first is not over.
    openings = [0.9, 0.5, 0.39, 0.3, 0.3, 0.59, 0.61, 0.61, 0.41, 0.2]
    told = [switch.choose(opening, 10 + 0.11 * i) for i, opening in enumerate(openings)]
    assert [i for i, (_, is_change) in enumerate(told) if is_change] == [0, 3, 6, 9]
    assert [opening for opening, is_change in told if is_change] == [1.0, 0.0, 1.0, 0.0]


def test_what_is_not_installed_is_named_with_its_apt_package():
    with pytest.raises(NodeError, match=r"apt install ros-\$ROS_DISTRO-nowhere-msgs"):
        load_type("nowhere_msgs/action/GripperCommand")
    with pytest.raises(NodeError, match="has no std_msgs/msg/Strung"):
        load_type("std_msgs/msg/Strung")
