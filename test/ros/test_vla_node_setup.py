"""How the node is set up: what it refuses, how it loads its policy, what diagnostics tell."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_bench import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Bench
from ros_fakes import SPEC, FakePolicy, values
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from vla_ros.errors import ParameterError
from vla_ros.ros.policy_source import PolicySource


def test_a_refused_robot_file_can_be_put_right_and_configured_again(
    bench: Bench, robot_file: Path, capfd
):
    bench.start(robot_file="/nowhere/three.yaml")
    assert not bench.change(CONFIGURE)
    assert "robot file /nowhere/three.yaml" in capfd.readouterr().err
    bench.node.set_parameters([Parameter("robot_file", value=str(robot_file))])
    assert bench.change(CONFIGURE)
    assert bench.change(CLEANUP)


@pytest.mark.fault(28)
def test_a_missing_checkpoint_is_refused_with_the_reason(bench: Bench, capfd, tmp_path):
    bench.start_with(PolicySource(), checkpoint=str(tmp_path / "nothing_here"))
    assert not bench.change(CONFIGURE)
    bench.until(lambda: bench.client.diagnostics, "life")
    assert "nothing_here" in capfd.readouterr().err


@pytest.mark.fault(28)
def test_a_policy_of_another_robot_is_refused_with_all_that_differs(bench: Bench, capfd):
    from dataclasses import replace

    spec = replace(SPEC, robot="four", action_names=("a", "b"))
    bench.start_with(PolicySource(read_spec=lambda folder: spec))
    assert not bench.change(CONFIGURE)
    err = capfd.readouterr().err
    assert "trained for 'four'" in err
    assert "the checkpoint's action is a, b" in err
    assert "shoulder, elbow, wrist" in err


def test_activation_does_not_wait_for_the_policy_to_load(bench: Bench):
    loaded = threading.Event()

    def load(parameters):
        loaded.wait(30)
        return FakePolicy()

    bench.start(load=load)
    started_s = time.monotonic()
    assert bench.change(CONFIGURE, ACTIVATE)
    assert time.monotonic() - started_s < 5
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("sway")
    bench.until_status("waiting_for_policy")
    bench.ticks(20)
    assert not bench.client.arm
    loaded.set()
    bench.until_status("running")


def test_a_policy_that_cannot_be_loaded_is_told_and_activation_refused(bench: Bench, capfd):
    def load(parameters):
        raise RuntimeError("weights of another size")

    bench.start(load=load)
    assert bench.change(CONFIGURE)
    bench.until(lambda: bench.client.diagnostic("policy"), "diagnostics")
    assert bench.client.diagnostic("policy").message == "RuntimeError: weights of another size"
    assert not bench.change(ACTIVATE)
    assert "weights of another size" in capfd.readouterr().err
    assert bench.change(CLEANUP)


@pytest.mark.fault(24)
def test_parameters_stay_as_they_are_while_configured(bench: Bench):
    bench.start()
    assert bench.change(CONFIGURE, ACTIVATE)
    (result,) = bench.node.set_parameters([Parameter("device", value="cuda")])
    assert not result.successful
    assert "device: cannot change while vla_node is configured" in result.reason
    assert bench.change(DEACTIVATE, CLEANUP)
    (result,) = bench.node.set_parameters([Parameter("device", value="cuda")])
    assert result.successful


@pytest.mark.fault(24)
def test_an_unknown_parameter_is_refused(bench: Bench):
    with pytest.raises(ParameterError, match=r"robot_fiel: there is no such parameter; valid: rob"):
        bench.start(robot_fiel="x")


def test_autostart_needs_no_lifecycle_manager(bench: Bench):
    bench.start(autostart=True)
    bench.until_status("waiting_for_state")


@pytest.mark.fault(25, bound_s=1.0, real_time=True)
def test_qos_that_cannot_match_is_an_error_in_diagnostics(bench: Bench, reaction):
    bench.start()
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    deaf = bench.client.create_publisher(String, "/vla/instruction", best_effort)
    assert bench.change(CONFIGURE)

    def told() -> bool:
        report = bench.client.diagnostic("topics")
        return report is not None and "RELIABILITY" in report.message

    started_s = time.monotonic()
    bench.until(told, "the mismatch in diagnostics")
    reaction(time.monotonic() - started_s)
    report = bench.client.diagnostic("topics")
    assert report.level == b"\x02"
    assert report.message.startswith("/vla/instruction: ")
    bench.client.destroy_publisher(deaf)
    bench.until(lambda: not told(), "the end of the mismatch, which no event tells")


@pytest.mark.fault(6)
def test_diagnostics_tell_rates_and_what_was_dropped(bench: Bench):
    bench.start()
    bench.run()
    bench.client.names = ("shoulder", "elbow")
    bench.until_status("hold_stale_state")

    def told() -> bool:
        report = bench.client.diagnostic("topics")
        return report is not None and "'wrist' is not in the joint state" in report.message

    bench.until(told, "the reason in diagnostics")
    report = values(bench.client.diagnostic("topics"))
    assert "Hz" in report["/front/image_raw"]
    assert report["/arm/joint_trajectory"] == "1 listener(s)"


def test_rates_start_anew_with_each_configuration(bench: Bench):
    bench.start()
    bench.run()
    bench.diagnostics(2)
    assert bench.change(DEACTIVATE, CLEANUP, CONFIGURE)
    bench.client.diagnostics.clear()
    bench.until(lambda: bench.client.diagnostic("topics"), "diagnostics")
    assert not values(bench.client.diagnostic("topics"))["/front/image_raw"].startswith("-")


@pytest.mark.parametrize("name", ["client", "vla_node"])
def test_another_commander_is_named_in_diagnostics(bench: Bench, context: Context, name: str):
    bench.start()
    assert bench.change(CONFIGURE)
    bench.until(lambda: bench.client.diagnostic("topics"), "diagnostics")
    assert "commands there too" not in bench.client.diagnostic("topics").message
    # A second node of the same name is an accident that happens: two launches of one robot.
    rival = Node(name, context=context)
    rival.create_publisher(JointTrajectory, "/arm/joint_trajectory", 1)

    def told() -> bool:
        return f"/{name} commands there too" in bench.client.diagnostic("topics").message

    bench.until(told, "the rival's name")
    rival.destroy_node()


def test_an_active_node_that_is_destroyed_leaves_no_thread(bench, spinner):
    before = set(threading.enumerate())
    bench.start()
    bench.run()
    assert {thread.name for thread in set(threading.enumerate()) - before} >= {"vla-policy"}
    spinner.destroy(bench.node)
    assert set(threading.enumerate()) <= before
