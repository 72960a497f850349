"""Real processes: how they end on signals, and what they say when they cannot begin."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import QoSProfile
from ros_bench import CONFIGURE, Bench, velocities
from std_msgs.msg import Float64MultiArray

from vla_ros.ros.sim_messages import trajectory_from_msg
from vla_ros.sim.trajectory_controller import ControllerParameters, TrajectoryController

HERE = Path(__file__).parent


def end(process: subprocess.Popen, *signals: signal.Signals, gap_s: float) -> tuple[float, str]:
    """Send signals, `gap_s` apart; return the time until the process ended, and its log."""
    started_s = time.monotonic()
    process.send_signal(signals[0])
    for number in signals[1:]:
        time.sleep(gap_s)  # the gap between the signals is what is tested
        process.send_signal(number)
    log = process.communicate(timeout=20)[1]
    return time.monotonic() - started_s, log


@pytest.mark.parametrize(
    ("signals", "gap_s"),
    [
        ((signal.SIGTERM,), 0.0),
        # What Ctrl-C in a terminal with `ros2 launch` sends, and a person with two fingers.
        ((signal.SIGINT, signal.SIGINT), 0.005),
        ((signal.SIGINT, signal.SIGINT, signal.SIGTERM), 0.05),
    ],
)
@pytest.mark.fault(20, bound_s=2.0, real_time=True)
def test_signals_bring_the_arm_to_rest_and_end_with_0(
    bench: Bench, start_process, reaction, signals, gap_s
):
    process = start_process()
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("sway")
    bench.until(
        lambda: bench.client.arm and np.abs(velocities(bench.client)[-1]).max() > 0.35, "motion"
    )
    elapsed_s, log = end(process, *signals, gap_s=gap_s)
    assert process.returncode == 0, log
    reaction(elapsed_s)
    assert "Traceback" not in log
    bench.until(lambda: not velocities(bench.client)[-1].any(), "the last hold")
    changes = np.abs(np.diff(velocities(bench.client), axis=0))
    assert changes.max() < 2.5 * 10.0 * 0.01, "a change of speed above the acceleration limit"


@pytest.mark.fault(20)
def test_a_stop_that_takes_longer_is_ended_where_the_driver_takes_no_path(
    bench: Bench, start_process, robot_file: Path
):
    text = robot_file.read_text().replace("acceleration_rad_s2: 10.0", "acceleration_rad_s2: 0.15")
    trajectory = "sink: joint_trajectory, topic: /arm/joint_trajectory"
    robot_file.write_text(text.replace(trajectory, "sink: forward_command, topic: /arm/commands"))
    client, told = bench.client, []

    def follow(msg: Float64MultiArray) -> None:
        told.append(list(msg.data))
        client.position.update(zip(("shoulder", "elbow", "wrist"), msg.data, strict=True))

    client.create_subscription(Float64MultiArray, "/arm/commands", follow, QoSProfile(depth=1000))
    process = start_process()
    client.play()
    bench.until(lambda: bench.client.statuses, "the node")
    client.say("sway")
    bench.until(lambda: np.abs(np.diff(told[-2:], axis=0)).max(initial=0) > 0.0030, "motion")
    process.send_signal(signal.SIGTERM)
    bench.until(lambda: process.poll() is not None, "the end")
    assert process.returncode == 0
    bench.until(lambda: told[-1] == told[-2], "the last hold")
    speeds = np.diff(told, axis=0) / 0.01
    assert np.abs(np.diff(speeds, axis=0)).max() < 1.01 * 0.15 * 0.01


def test_a_transition_that_is_not_allowed_does_not_end_the_process(bench: Bench, start_process):
    process = start_process()
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("sway")
    bench.until(lambda: bench.client.arm, "commands")
    bench.until(bench.client.lifecycle.service_is_ready, "the lifecycle service")
    bench.client.lifecycle.call_async(ChangeState.Request(transition=Transition(id=CONFIGURE)))
    heard = len(bench.client.arm)
    bench.until(lambda: len(bench.client.arm) > heard + 100, "more commands")
    log = end(process, signal.SIGINT, gap_s=0.0)[1]
    assert process.returncode == 0, log
    assert "a request was not carried out" in log


@pytest.mark.fault(21)
def test_after_kill_9_a_driver_with_a_timeout_stops_the_arm(bench: Bench, start_process):
    process = start_process()
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("sway")
    bench.until(
        lambda: bench.client.arm and np.abs(velocities(bench.client)[-1]).max() > 0.1, "motion"
    )
    process.kill()
    process.wait()
    heard = list(bench.client.arm)
    start = np.array([0.3, -0.2, 0.1])
    parameters = ControllerParameters(
        joints=("shoulder", "elbow", "wrist"),
        interpolate_from_desired_state=True,
        allow_nonzero_velocity_at_trajectory_end=True,
        cmd_timeout=0.2,
    )
    driver = TrajectoryController(parameters, start, now_s=0.0)
    position = start
    for tick in range(len(heard) + 50):
        if tick < len(heard):
            assert driver.accept(trajectory_from_msg(heard[tick]), 0.01 * tick) is None
        position = driver.update(0.01 * tick, position, np.zeros(3)).position
    assert driver.is_holding
    assert np.abs(position - heard[-1].points[0].positions).max() < 1.5 * 0.02


def test_a_policy_that_hangs_does_not_keep_the_process(bench: Bench, start_process):
    process = start_process("hang")
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.client.say("sway")
    bench.until_status("waiting_for_policy")
    elapsed_s, log = end(process, signal.SIGINT, signal.SIGINT, gap_s=0.01)
    assert process.returncode == 0, log
    assert elapsed_s < 2.0


def test_a_misspelt_parameter_ends_the_process_with_all_valid_names():
    command = [sys.executable, "-m", "vla_ros.ros.vla_node", "--ros-args", "-p", "robot_fiel:=x"]
    ended = subprocess.run(
        command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "robot_fiel: there is no such parameter; valid: robot_file, checkpoint" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_node_is_imported_without_torch():
    code = "import sys, vla_ros.ros.vla_node; sys.exit('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=HERE.parents[1], timeout=60, check=False)
    assert ended.returncode == 0
