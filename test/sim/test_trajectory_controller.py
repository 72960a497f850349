"""The simulated controller refuses, interpolates, holds and times out as the real one does."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.sim.joint_trajectory import JointTrajectory, TrajectoryPoint
from vla_ros.sim.trajectory_controller import ControllerParameters, TrajectoryController

JOINTS = ("a", "b", "c")
START = np.array([0.1, -0.2, 0.3])
STREAMING = ControllerParameters(
    joints=JOINTS,
    interpolate_from_desired_state=True,
    allow_nonzero_velocity_at_trajectory_end=True,
    cmd_timeout=0.3,
)
STRICT = ControllerParameters(joints=JOINTS)

angle = st.floats(-3.0, 3.0)
three = st.tuples(angle, angle, angle)


def controller(parameters: ControllerParameters = STREAMING, now_s: float = 10.0):
    return TrajectoryController(parameters, START, now_s)


def point(time_s, positions=(1.0, 2.0, 3.0), velocities=(), **fields):
    return TrajectoryPoint(
        time_from_start_s=time_s, positions=positions, velocities=velocities, **fields
    )


def trajectory(*points, names=JOINTS, stamp_s=0.0):
    return JointTrajectory(joint_names=names, points=points, stamp_s=stamp_s)


def follow(target: TrajectoryController, now_s: float, measured=START):
    return target.update(now_s, np.asarray(measured, float), np.zeros(3))


GOOD = trajectory(point(0.5), point(1.0))
REFUSED = [
    (trajectory(point(1.0), names=()), "joint_names is empty"),
    (trajectory(point(1.0), names=("a", "b", "x")), "'x'; the controller has: a, b, c"),
    (trajectory(point(1.0), names=("a", "b", "b")), "twice"),
    (trajectory(point(1.0, positions=(1.0, 2.0)), names=("a", "b")), "allow_partial_joints_goal"),
    (trajectory(), "points is empty"),
    (trajectory(point(1.0, positions=())), r"points\[0\].positions has 0 values for 3"),
    (trajectory(point(1.0, positions=(1.0,) * 4)), "positions has 4 values for 3"),
    (trajectory(point(1.0, velocities=(0.0,))), "velocities has 1 values for 3"),
    (trajectory(point(1.0, accelerations=(0.0,))), "accelerations has 1 values for 3"),
    (trajectory(point(1.0, accelerations=(0.0,) * 3)), "without velocities"),
    (trajectory(point(1.0, effort=(0.0,) * 3)), "commands positions"),
    (trajectory(point(1.0), point(1.0)), r"points\[1\].time_from_start .* strictly increase"),
    (trajectory(point(1.0), point(0.5)), r"points\[1\].time_from_start .* strictly increase"),
    (trajectory(point(0.5), stamp_s=9.0), "ends at 9.500 s, in the past: the time is 10.000 s"),
    (trajectory(point(1.0, positions=(0.0, math.nan, 0.0))), r"points\[0\].values has nan"),
    (trajectory(point(1.0, velocities=(0.0, math.inf, 0.0))), r"points\[0\].values has inf"),
    (trajectory(point(1.0, positions=(0.0, 1e300, 0.0))), r"points\[0\].values has 1e\+300"),
]


@pytest.mark.parametrize(("bad", "reason"), REFUSED)
def test_refuses_with_the_reason_and_goes_on_with_the_running_trajectory(bad, reason):
    target, untouched = controller(), controller()
    for one in (target, untouched):
        assert one.accept(GOOD, 10.0) is None
    answer = target.accept(bad, 10.0)
    assert answer is not None
    assert re.search(reason, answer)
    assert (target.accepted_count, target.refused_count) == (1, 1)
    for now_s in (10.0, 10.2, 10.7, 11.5):
        expected = follow(untouched, now_s)
        np.testing.assert_array_equal(follow(target, now_s).position, expected.position)


def test_moving_end_is_refused_only_where_not_allowed():
    moving = trajectory(point(1.0, velocities=(0.0, 0.0, 1e-3)))
    answer = controller(STRICT).accept(moving, 10.0)
    assert answer is not None
    assert "allow_nonzero_velocity_at_trajectory_end" in answer
    assert controller(STRICT).accept(trajectory(point(1.0, velocities=(1e-8,) * 3)), 10.0) is None
    assert controller(STREAMING).accept(moving, 10.0) is None


def test_old_stamp_is_fine_while_the_end_lies_ahead_and_starts_in_the_middle():
    target = controller()
    late = trajectory(point(0.0, (0.0, 0.0, 0.0)), point(1.0, (1.0, 1.0, 1.0)), stamp_s=9.75)
    assert target.accept(late, 10.0) is None
    np.testing.assert_allclose(follow(target, 10.0).position, 0.25)


@given(order=st.permutations(range(3)), positions=three, velocities=three, share=st.floats(0, 1))
def test_order_of_the_names_never_matters(order, positions, velocities, share):
    plain = trajectory(point(1.0, positions, velocities))
    permuted = trajectory(
        point(1.0, tuple(positions[i] for i in order), tuple(velocities[i] for i in order)),
        names=tuple(JOINTS[i] for i in order),
    )
    results = []
    for one in (plain, permuted):
        target = controller()
        assert target.accept(one, 10.0) is None
        follow(target, 10.0)
        results.append(follow(target, 10.0 + share).position)
    np.testing.assert_array_equal(*results)


def test_partial_goal_holds_the_other_joints_at_their_setpoint():
    target = controller(replace(STREAMING, allow_partial_joints_goal=True))
    assert target.accept(trajectory(point(1.0, (2.0,)), names=("b",)), 10.0) is None
    follow(target, 10.0, measured=(9.0, 9.0, 9.0))
    np.testing.assert_allclose(follow(target, 11.0).position, [START[0], 2.0, START[2]])


def test_holds_the_start_until_told_otherwise():
    target = controller()
    for now_s in (10.0, 12.0, 1000.0):
        setpoint = follow(target, now_s, measured=(7.0, 7.0, 7.0))
        np.testing.assert_array_equal(setpoint.position, START)
        np.testing.assert_array_equal(setpoint.velocity, 0.0)
    assert target.is_holding
    assert target.timeout_count == 0


def test_without_velocities_it_goes_in_a_straight_line():
    target = controller()
    target.accept(trajectory(point(2.0, (1.1, 0.8, 1.3))), 10.0)
    follow(target, 10.0)
    setpoint = follow(target, 10.5)
    np.testing.assert_allclose(setpoint.position, START + 0.25)
    np.testing.assert_allclose(setpoint.velocity, 0.5)


CUBIC = [
    point(0.5, (0.4, 0.0, 1.0), (0.2, -0.1, 0.0)),
    point(0.8, (0.5, 0.1, 0.9), (0.1, 0.3, -0.4)),
    point(1.6, (0.2, 0.0, 0.0), (0.0, 0.0, 0.0)),
]
QUINTIC = [replace(one, accelerations=(0.3, -0.2, 0.1)) for one in CUBIC]


@pytest.mark.parametrize("points", [CUBIC, QUINTIC], ids=["cubic", "quintic"])
def test_passes_every_point_with_its_velocity_and_without_a_jump(points):
    target = controller()
    target.accept(trajectory(*points), 10.0)
    follow(target, 10.0)
    for one in points:
        setpoint = follow(target, 10.0 + one.time_from_start_s)
        np.testing.assert_allclose(setpoint.position, one.positions, atol=1e-12)
        np.testing.assert_allclose(setpoint.velocity, one.velocities, atol=1e-12)
    fine = controller()
    fine.accept(trajectory(*points), 10.0)
    times = np.arange(10.0, 11.6, 1e-4)
    path = np.stack([follow(fine, float(t)).position for t in times])
    speed = np.diff(path, axis=0) / 1e-4
    # The velocity is continuous: between two samples it changes by acceleration times 0.1 ms.
    assert np.abs(np.diff(speed, axis=0)).max() < 0.01


@given(positions=three, velocities=three, start=three, share=st.floats(0.0, 1.0))
def test_one_cubic_segment_is_the_hermite_polynomial(positions, velocities, start, share):
    target = TrajectoryController(STREAMING, np.array(start), 10.0)
    target.accept(trajectory(point(0.7, positions, velocities)), 10.0)
    follow(target, 10.0)
    p0, p1, v1 = np.array(start), np.array(positions), 0.7 * np.array(velocities)
    u = share
    hermite = (2 * u**3 - 3 * u**2 + 1) * p0 + (3 * u**2 - 2 * u**3) * p1 + (u**3 - u**2) * v1
    np.testing.assert_allclose(follow(target, 10.0 + 0.7 * u).position, hermite, atol=1e-8)


@given(st.lists(st.tuples(three, three, st.floats(0.01, 0.2)), min_size=1, max_size=20))
def test_streaming_from_the_desired_state_never_jumps(stream):
    """Replacing a running trajectory at any time moves the setpoint no further than it travels."""
    target, now_s = controller(), 10.0
    previous = follow(target, now_s)
    for positions, velocities, duration_s in stream:
        target.accept(trajectory(point(duration_s, positions, velocities)), now_s)
        now_s += 1e-6
        current = follow(target, now_s, measured=(5.0, 5.0, 5.0))
        travel = 1e-6 * np.maximum(np.abs(previous.velocity), np.abs(current.velocity))
        assert (np.abs(current.position - previous.position) < 2 * travel + 1e-9).all()
        now_s += duration_s / 2
        previous = follow(target, now_s, measured=(5.0, 5.0, 5.0))


def test_starts_from_the_measured_state_unless_from_the_desired():
    target = controller(STRICT)
    target.accept(GOOD, 10.0)
    measured = (0.0, 0.0, 0.0)
    np.testing.assert_array_equal(follow(target, 10.0, measured).position, measured)


def test_holds_the_last_point_for_ever_without_a_timeout():
    target = controller(replace(STREAMING, cmd_timeout=0.0))
    target.accept(trajectory(point(0.5, (1.0, 2.0, 3.0), (0.1, 0.1, 0.1))), 10.0)
    for now_s in (10.0, 10.5, 11.0, 1e6):
        setpoint = follow(target, now_s)
    np.testing.assert_array_equal(setpoint.position, (1.0, 2.0, 3.0))
    assert not target.is_holding


def test_command_timeout_counts_from_the_last_point_and_holds_what_was_measured():
    target = controller()
    target.accept(trajectory(point(0.5)), 10.0)
    follow(target, 10.0)
    follow(target, 10.79, measured=(0.9, 1.9, 2.9))
    assert not target.is_holding
    setpoint = follow(target, 10.81, measured=(0.9, 1.9, 2.9))
    assert target.is_holding
    assert target.timeout_count == 1
    np.testing.assert_array_equal(setpoint.position, (0.9, 1.9, 2.9))
    np.testing.assert_array_equal(setpoint.velocity, 0.0)
    later = follow(target, 12.0, measured=(0.5, 0.5, 0.5))
    np.testing.assert_array_equal(later.position, (0.9, 1.9, 2.9))
    assert target.timeout_count == 1


def test_a_command_in_time_prevents_the_timeout():
    target, now_s = controller(), 10.0
    for _ in range(20):
        target.accept(trajectory(point(0.02)), now_s)
        follow(target, now_s)
        now_s += 0.3
    assert target.timeout_count == 0


def test_timeout_that_does_not_exceed_goal_time_is_ignored():
    target = controller(replace(STREAMING, cmd_timeout=0.3, goal_time=0.3))
    target.accept(trajectory(point(0.5)), 10.0)
    follow(target, 10.0)
    follow(target, 100.0)
    assert target.timeout_count == 0
    assert not target.is_holding


def test_reset_drops_the_pending_trajectory_and_a_clock_that_jumped_back_does_no_harm():
    target = controller()
    target.accept(GOOD, 10.0)
    target.reset(START + 1.0, 0.0)
    np.testing.assert_array_equal(follow(target, 0.0).position, START + 1.0)
    np.testing.assert_array_equal(follow(target, -5.0).position, START + 1.0)


number = st.floats(allow_nan=True, allow_infinity=True)
values = st.lists(number, max_size=4).map(tuple)
anything = st.builds(
    JointTrajectory,
    joint_names=st.permutations(JOINTS).map(tuple),
    stamp_s=st.sampled_from([0.0, 9.0, 10.0, 11.0]),
    points=st.lists(
        st.builds(
            TrajectoryPoint,
            time_from_start_s=st.floats(-1.0, 5.0),
            positions=st.one_of(st.tuples(number, number, number), values),
            velocities=st.one_of(st.just(()), st.tuples(number, number, number), values),
            accelerations=st.one_of(st.just(()), values),
        ),
        max_size=4,
    ).map(tuple),
)


@given(stream=st.lists(anything, max_size=6))
def test_setpoints_are_finite_whatever_is_sent(stream):
    target, now_s = controller(), 10.0
    for one in stream:
        target.accept(one, now_s)
        for _ in range(4):
            setpoint = follow(target, now_s)
            assert np.isfinite(setpoint.position).all()
            now_s += 0.11
    assert target.accepted_count + target.refused_count == len(stream)
