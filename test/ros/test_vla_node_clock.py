"""The node under a clock that the test turns by hand: exact ticks, jumps, standstill."""

from __future__ import annotations

import time

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from ros_bench import ACTIVATE, CONFIGURE, DEACTIVATE, Bench, Spinner, velocities
from ros_fakes import NAMES, SPEC, FakePolicy, values

from vla_ros.ros.policy_source import PolicySource
from vla_ros.runtime import InlineWorker

START_S = 100.0
TICK_S = 0.01

# Plans inside the tick, so that a test's result depends on the simulated time alone.
INLINE = PolicySource(
    read_spec=lambda folder: SPEC, load=lambda parameters: FakePolicy(), make_worker=InlineWorker
)


def start(bench: Bench, clock_timeout_s: float = 60.0) -> None:
    """Bring the node up at `START_S`, loaded and active, before its first tick."""
    bench.start_with(INLINE, use_sim_time=True, clock_timeout_s=clock_timeout_s)
    assert bench.change(CONFIGURE)
    session = bench.node.session
    bench.until(lambda: bench.connected() and session.worker.is_ready, "readiness")
    # So that the first tick finds its drivers, whatever discovery takes.
    bench.until(lambda: all(session.sink.listeners().values()), "listeners")
    bench.set_clock(START_S)
    assert bench.change(ACTIVATE)


def run(bench: Bench, ticks: range) -> None:
    """Follow an instruction, with fresh pictures and joint states every 0.1 s."""
    for index in ticks:
        time_s = round(START_S + index * TICK_S, 6)
        if index % 10 == 1:
            bench.sense(time_s)
        if index == 1:
            bench.deliver("/vla/instruction", lambda: bench.client.say("sway"))
        bench.tick_at(time_s)


def record(robot_file, names: tuple[str, ...]) -> list[bytes]:
    """All that is commanded in 0.5 s when the arm reports its joints in the order of `names`."""
    context = Context()
    rclpy.init(context=context)
    spinner = Spinner(context)
    try:
        bench = Bench(context, spinner, robot_file)
        bench.client.position["wheel"] = 7.0
        bench.client.names = names
        start(bench)
        run(bench, range(1, 51))
        assert bench.client.status() == "running"
        bench.until(lambda: len(bench.client.arm) == len(bench.client.hand) == 50, "the commands")
        points = [msg.points[0] for msg in (*bench.client.arm, *bench.client.hand)]
        return [bytes(point.positions) + bytes(point.velocities) for point in points]
    finally:
        spinner.close()
        context.try_shutdown()


@pytest.mark.parametrize(
    "names", [("finger", "wrist", "elbow", "shoulder"), (*NAMES[::2], *NAMES[1::2])]
)
@pytest.mark.fault(5)
def test_the_order_of_joint_names_changes_nothing_to_the_bit(robot_file, names):
    reference = record(robot_file, NAMES)
    assert len(set(reference)) > 40, "the commands do not move: the test could not fail"
    assert record(robot_file, names) == reference
    assert record(robot_file, ("wheel", *names)) == reference


@pytest.mark.fault(13)
def test_an_emptied_instruction_holds_within_one_tick(bench: Bench):
    start(bench)
    run(bench, range(1, 31))
    assert bench.client.status() == "running"
    before = np.abs(velocities(bench.client)[-1])
    assert before.max() > 0.1
    bench.deliver("/vla/instruction", lambda: bench.client.say(""))
    bench.tick_at(START_S + 0.31)
    assert bench.client.status() == "hold_no_instruction"
    bench.until(lambda: len(bench.client.arm) == 31, "the command of that tick")
    assert (np.abs(velocities(bench.client)[-1]) <= before).all()
    run(bench, range(32, 60))
    assert not velocities(bench.client)[-1].any()
    assert bench.client.status() == "hold_no_instruction"


@pytest.mark.fault(15)
def test_a_clock_that_jumps_back_holds_until_fresh_data_come(bench: Bench):
    start(bench)
    run(bench, range(1, 31))
    # ROS moves the timer: its next tick comes one period after the time that was jumped to.
    bench.set_clock(50.0)
    bench.tick_at(50.01)
    assert bench.client.status() == "hold_clock_jump"
    assert "jumped back from 100.300 to 50.010 s" in bench.client.statuses[-1].message
    bench.tick_at(50.02)
    assert bench.client.status() == "hold_clock_jump"
    bench.sense(50.03)
    bench.tick_at(50.03)
    bench.tick_at(50.04)
    assert bench.client.status() == "running"


@pytest.mark.fault(16, bound_s=0.4, real_time=True)
def test_a_clock_that_stops_holds_and_there_is_no_burst_when_it_goes_on(bench: Bench, reaction):
    start(bench, clock_timeout_s=0.3)
    run(bench, range(1, 31))
    stopped_s = time.monotonic()
    bench.until_status("hold_clock_stopped")
    reaction(time.monotonic() - stopped_s)
    assert "the clock has stood still for" in bench.client.statuses[-1].message
    bench.until(lambda: not velocities(bench.client)[-1].any(), "rest")
    bench.tick_at(START_S + 0.31)
    resumed = len(bench.client.statuses)
    bench.tick_at(START_S + 0.32)
    assert len(bench.client.statuses) <= resumed + 2, "a burst of ticks"
    bench.sense(START_S + 0.33)
    bench.tick_at(START_S + 0.33)
    bench.tick_at(START_S + 0.34)
    assert bench.client.status() == "running"


def test_a_simulation_slower_than_the_ticks_is_no_stopped_clock(bench: Bench):
    start(bench, clock_timeout_s=0.3)
    run(bench, range(1, 11))
    bench.client.statuses.clear()
    started_s, step = time.monotonic(), 0
    while time.monotonic() - started_s < 1.0:
        # Far less than a period each time, so that no tick comes for longer than the timeout.
        step += 1
        bench.set_clock(START_S + 0.1 + step * 1e-6)
    assert not bench.client.statuses
    bench.until_status("hold_clock_stopped")


def test_deactivation_under_a_stopped_clock_still_ends_at_rest(bench: Bench):
    start(bench)
    run(bench, range(1, 31))
    assert velocities(bench.client)[-1].any()
    assert bench.change(DEACTIVATE)
    bench.until(lambda: not velocities(bench.client)[-1].any(), "rest")


def test_without_a_clock_the_status_says_so(bench: Bench):
    bench.start_with(INLINE, use_sim_time=True, clock_timeout_s=0.1)
    assert bench.change(CONFIGURE, ACTIVATE)
    bench.until_status("hold_clock_stopped")
    assert values(bench.client.statuses[-1])["stamp_s"].startswith("0.")
    assert not bench.client.arm
