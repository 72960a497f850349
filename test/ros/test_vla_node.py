"""The node as its neighbours on the topics see it: a plain client, real DDS, real time."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from ros_bench import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, SHUTDOWN, Bench, velocities
from ros_fakes import SPEC, Client, FakePolicy, sway, values
from std_msgs.msg import Float64MultiArray

from vla_ros.ros.policy_source import PolicySource
from vla_ros.runtime import ThreadWorker


def assert_no_step_of_speed(client: Client) -> None:
    """At most 2.5 ticks at the acceleration limit lie between two commands."""
    changes = np.abs(np.diff(velocities(client), axis=0))
    assert changes.max() < 2.5 * 10.0 * 0.01, "a change of speed above the acceleration limit"


def test_a_plain_client_is_answered_with_commands(bench: Bench):
    bench.start()
    bench.run()
    client = bench.client
    assert client.arm[0].joint_names == ["shoulder", "elbow", "wrist"]
    np.testing.assert_allclose(client.arm[0].points[0].positions, [0.3, -0.2, 0.1], atol=0.01)
    bench.until(lambda: client.arm[-1].points[0].positions[0] > 0.4, "the shoulder to move")
    assert client.arm[-1].points[0].positions[1] < -0.2
    assert client.hand[-1].joint_names == ["finger"]
    bench.until(lambda: client.hand[-1].points[0].positions[0] < 0.04, "the gripper to close")
    status = values(client.statuses[-1])
    assert status["policy"] == "ready"
    assert 0 < float(status["image_to_command_ms"]) < 2000
    assert 0 <= float(status["front_age_ms"]) < 500


@pytest.mark.fault(2)
def test_it_waits_for_each_input_by_name_and_commands_nothing(bench: Bench):
    bench.start()
    assert bench.change(CONFIGURE, ACTIVATE)
    bench.until(bench.connected, "discovery")
    bench.until_status("waiting_for_state")
    assert "/joint_states" in bench.client.statuses[-1].message
    bench.client.report(bench.client.get_clock().now().to_msg())
    bench.until_status("waiting_for_camera")
    assert "front" in bench.client.statuses[-1].message
    bench.client.play()
    bench.until_status("waiting_for_instruction")
    assert "/vla/instruction" in bench.client.statuses[-1].message
    bench.ticks(30)
    assert not bench.client.arm


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.fault(7)
def test_what_is_not_finite_is_never_published(bench: Bench, value):
    def act(observation):
        actions = sway(observation)
        if observation.instruction == "go mad":
            actions[3, 1] = value
        return actions

    bench.start(act)
    bench.run()
    bench.client.say("go mad")
    bench.until_status("fault_bad_action")
    for msg in (*bench.client.arm, *bench.client.hand):
        assert np.isfinite([*msg.points[0].positions, *msg.points[0].velocities]).all()
    bench.until(lambda: not velocities(bench.client)[-1].any(), "rest")
    bench.client.say("sway")
    bench.ticks(20)
    assert bench.client.status() == "fault_bad_action", "a fault is latched"
    assert bench.trigger(bench.client.reset).success
    bench.until_status("running")


@pytest.mark.fault(13)
def test_an_emptied_instruction_holds_and_a_new_one_resumes(bench: Bench):
    bench.start()
    bench.run()
    epoch = int(values(bench.client.statuses[-1])["epoch"])
    bench.client.say("")
    bench.until_status("hold_no_instruction")
    bench.until(lambda: not velocities(bench.client)[-1].any(), "rest")
    bench.client.say("sway again")
    bench.until_status("running")
    assert int(values(bench.client.statuses[-1])["epoch"]) > epoch


@pytest.mark.fault(14)
def test_a_refused_instruction_holds_with_its_reason(bench: Bench):
    bench.start()
    bench.run()
    bench.client.say("sway\x07")
    bench.until_status("hold_bad_instruction")
    assert "'\\x07'" in bench.client.statuses[-1].message


@pytest.mark.fault(19, bound_s=1.0, real_time=True)
def test_deactivation_comes_to_rest_and_is_silent_afterwards(bench: Bench, reaction):
    bench.start()
    bench.run()
    bench.until(lambda: np.abs(velocities(bench.client)[-1]).max() > 0.35, "motion")
    started_s = time.monotonic()
    assert bench.change(DEACTIVATE)
    reaction(time.monotonic() - started_s)
    bench.until(lambda: not velocities(bench.client)[-1].any(), "the last hold")
    assert_no_step_of_speed(bench.client)
    steps = np.diff([msg.points[0].positions for msg in bench.client.arm], axis=0)
    assert np.abs(steps).max() < 1.5 * 0.01 + 1e-6, "a step above the velocity limit"
    # What was on its way has arrived once a second of diagnostics has.
    bench.diagnostics(2)
    heard = bench.client.heard()
    bench.diagnostics(2)
    assert bench.client.heard() == heard


def test_a_shutdown_in_motion_comes_to_rest_and_lets_go_of_everything(bench: Bench):
    bench.start()
    bench.run()
    bench.until(lambda: np.abs(velocities(bench.client)[-1]).max() > 0.35, "motion")
    assert bench.change(SHUTDOWN)
    bench.until(lambda: not velocities(bench.client)[-1].any(), "the last hold")
    assert_no_step_of_speed(bench.client)
    assert bench.node.session is None
    assert bench.client.count_publishers("/arm/joint_trajectory") == 0


def test_an_instruction_of_before_the_activation_is_not_followed(bench: Bench):
    bench.start()
    assert bench.change(CONFIGURE)
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.deliver("/vla/instruction", lambda: bench.client.say("sway"))
    assert bench.change(ACTIVATE)
    bench.until_status("waiting_for_instruction")
    bench.client.say("sway")
    bench.until_status("running")
    assert bench.change(DEACTIVATE)
    bench.deliver("/vla/instruction", lambda: bench.client.say("sway back"))
    bench.client.statuses.clear()
    assert bench.change(ACTIVATE)
    bench.until_status("waiting_for_instruction")
    bench.ticks(20)  # the last hold of before has arrived
    bench.client.arm.clear()
    bench.ticks(30)
    assert bench.client.status() == "waiting_for_instruction"
    assert not bench.client.arm
    bench.client.say("sway")
    bench.until_status("running")


def test_an_arm_that_needs_longer_to_stop_is_sent_the_rest_of_its_stop(
    bench: Bench, robot_file: Path, capfd
):
    text = robot_file.read_text()
    robot_file.write_text(text.replace("acceleration_rad_s2: 10.0", "acceleration_rad_s2: 0.3"))
    bench.start()
    bench.run()
    bench.until(lambda: np.abs(velocities(bench.client)[-1]).max() > 0.38, "motion")
    assert bench.change(DEACTIVATE)
    bench.until(lambda: len(bench.client.arm[-1].points) > 1, "the rest of the stop")
    assert "the rest of the stop as one trajectory" in capfd.readouterr().err
    *streamed, last = bench.client.arm
    speeds = np.array([msg.points[0].velocities for msg in streamed[-20:]])
    speeds = np.vstack([speeds, [point.velocities for point in last.points]])
    assert np.abs(np.diff(speeds, axis=0)).max() < 2.5 * 0.3 * 0.01
    assert not speeds[-1].any()
    due_s = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in last.points]
    np.testing.assert_allclose(due_s, 0.01 * np.arange(2, len(due_s) + 2), atol=1e-6)
    path = np.array([point.positions for point in last.points])
    assert np.abs(np.diff(path, n=2, axis=0)).max() < 1.01 * 0.3 * 0.01**2


@pytest.mark.fault(19)
def test_an_arm_that_needs_longer_to_stop_is_told_every_step_where_its_driver_takes_no_path(
    bench: Bench, robot_file: Path, capfd
):
    text = robot_file.read_text().replace("acceleration_rad_s2: 10.0", "acceleration_rad_s2: 0.3")
    trajectory = "sink: joint_trajectory, topic: /arm/joint_trajectory"
    forward = "sink: forward_command, topic: /arm/commands"
    robot_file.write_text(text.replace(trajectory, forward))
    client, told = bench.client, []

    def follow(msg: Float64MultiArray) -> None:
        told.append(list(msg.data))
        client.position.update(zip(("shoulder", "elbow", "wrist"), msg.data, strict=True))

    deep = QoSProfile(depth=1000)
    client.create_subscription(Float64MultiArray, "/arm/commands", follow, deep)
    bench.start()
    assert bench.change(CONFIGURE, ACTIVATE)
    client.play()
    bench.until(bench.connected, "discovery")
    client.say("sway")
    bench.until(lambda: np.abs(np.diff(told[-2:], axis=0)).max(initial=0) > 0.0038, "motion")
    assert bench.change(DEACTIVATE)
    assert "trajectory" not in capfd.readouterr().err
    bench.until(lambda: len(told) > 2 and told[-1] == told[-2], "the last hold")
    speeds = np.diff(told, axis=0) / 0.01
    assert np.abs(np.diff(speeds, axis=0)).max() < 1.01 * 0.3 * 0.01


@pytest.mark.fault(11)
def test_deactivation_answers_while_the_policy_hangs(bench: Bench):
    released = threading.Event()

    def act(observation):
        if observation.instruction == "hang":
            released.wait(60)
        return sway(observation)

    bench.start(act)
    bench.run()
    bench.client.say("hang")
    bench.until_status("hold_for_policy")
    started_s = time.monotonic()
    assert bench.change(DEACTIVATE)
    assert time.monotonic() - started_s < 1.0
    assert bench.change(CLEANUP)
    released.set()


def test_stop_holds_until_reset(bench: Bench):
    bench.start()
    bench.run()
    assert bench.trigger(bench.client.stop).success
    bench.until_status("hold_stopped")
    bench.client.say("something else")
    bench.ticks(20)
    assert bench.client.status() == "hold_stopped"
    assert bench.trigger(bench.client.reset).success
    bench.until_status("running")


def test_services_say_that_the_node_is_not_active(bench: Bench):
    bench.start()
    for service in (bench.client.stop, bench.client.reset):
        answer = bench.trigger(service)
        assert not answer.success
        assert answer.message == "vla_node is not active"


@pytest.mark.fault(1)
@pytest.mark.fault(4)
def test_inputs_that_stop_hold_and_their_return_resumes(bench: Bench):
    bench.start()
    bench.run()
    (timer,) = bench.client.timers
    timer.cancel()
    bench.until_status("hold_stale_state")
    assert "limit 0.2 s" in bench.client.statuses[-1].message
    bench.until(lambda: not velocities(bench.client)[-1].any(), "rest")
    timer.reset()
    bench.until_status("running")


def test_a_fault_of_our_own_brings_the_arm_to_rest_and_is_latched(bench: Bench, capfd):
    class BrokenWorker(ThreadWorker):
        is_broken = False

        def poll(self, now_s: float):
            if self.is_broken:
                raise ZeroDivisionError("a mistake of ours")
            return super().poll(now_s)

    workers = []

    def make_worker(policy):
        workers.append(BrokenWorker(policy))
        return workers[-1]

    bench.start_with(
        PolicySource(
            read_spec=lambda folder: SPEC, load=lambda _: FakePolicy(), make_worker=make_worker
        )
    )
    bench.run()
    bench.until(lambda: np.abs(velocities(bench.client)[-1]).max() > 0.35, "motion")
    workers[0].is_broken = True
    bench.until_status("fault_internal")
    bench.until(lambda: not velocities(bench.client)[-1].any(), "rest")
    assert_no_step_of_speed(bench.client)
    assert "a mistake of ours" in bench.client.statuses[-1].message
    assert capfd.readouterr().err.count("Traceback") == 1
    workers[0].is_broken = False
    bench.ticks(20)
    assert bench.client.status() == "fault_internal", "a fault is latched"
    assert bench.trigger(bench.client.reset).success
    bench.until_status("running")
    bench.until(lambda: np.abs(velocities(bench.client)[-1]).max() > 0.35, "motion")
    assert_no_step_of_speed(bench.client)


def test_a_command_that_cannot_be_sent_is_a_fault_of_our_own(bench: Bench, monkeypatch, capfd):
    bench.start()
    bench.run()
    bench.until(lambda: np.abs(velocities(bench.client)[-1]).max() > 0.35, "motion")

    def refuse(*commands):
        raise ValueError("no such message")

    with monkeypatch.context() as patch:
        patch.setattr(bench.node.session.sink, "publish", refuse)
        bench.until_status("fault_internal")
        bench.ticks(20)
    assert capfd.readouterr().err.count("a tick failed") == 1, "told once, not in every tick"
    assert "ValueError: no such message" in bench.client.statuses[-1].message
    bench.until(lambda: bench.node.session.last.command is None, "silence, once at rest")
    bench.ticks(20)
    assert bench.client.status() == "fault_internal", "a fault is latched"
    assert bench.trigger(bench.client.reset).success
    bench.until_status("running")


def test_an_activation_that_fails_leaves_nothing_ticking(bench: Bench, monkeypatch, capfd):
    bench.start()
    assert bench.change(CONFIGURE)

    def fail(now_s):
        raise OSError("no more threads")

    with monkeypatch.context() as patch:
        patch.setattr(bench.node.session, "activate", fail)
        assert not bench.change(ACTIVATE)
    assert "cannot activate" in capfd.readouterr().err
    before = len(bench.client.statuses)
    bench.client.play()
    time.sleep(0.2)  # twenty ticks, were there any
    assert len(bench.client.statuses) == before
    assert bench.change(ACTIVATE)
    bench.client.say("sway")
    bench.until_status("running")
