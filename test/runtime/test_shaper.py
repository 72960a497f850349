"""Motion inside the limits, whatever the target."""

from __future__ import annotations

import numpy as np
import pytest
from ruckig import RuckigError

from vla_ros.runtime import Shaper

TICK_S = 0.01
BAD = (np.nan, np.inf, -np.inf, 1e300)


def hostile_target(rng, limits):
    """A target and its velocity, from plausible to absurd."""
    joints = len(limits.lower_rad)
    target = rng.uniform(limits.lower_rad - 1, limits.upper_rad + 1)
    edge = rng.random(joints) < 0.3
    target[edge] = np.where(rng.random(joints) < 0.5, limits.lower_rad, limits.upper_rad)[edge]
    velocity = rng.normal(0, 2, joints) * (rng.random() < 0.7)
    if rng.random() < 0.1:
        target[rng.integers(joints)] = rng.choice(BAD)
    if rng.random() < 0.1:
        velocity[rng.integers(joints)] = rng.choice(BAD)
    return target, velocity


@pytest.mark.parametrize("seed", range(6))
def test_no_limit_is_passed_under_thousands_of_hostile_targets(
    robot, middle_rad, motion_within, seed
):
    rng = np.random.default_rng(seed)
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(middle_rad, np.zeros(7))
    positions = [middle_rad]
    target, velocity = hostile_target(rng, robot.limits)
    for _ in range(3000):
        if rng.random() < (0.02, 0.1, 0.5, 0.9)[seed % 4]:
            target, velocity = hostile_target(rng, robot.limits)
        stops = rng.random() < 0.05
        motion = shaper.stop() if stops else shaper.step(target, velocity)
        assert (np.abs(motion.velocity) <= robot.limits.velocity_rad_s * (1 + 1e-9)).all()
        assert (np.abs(motion.acceleration) <= robot.limits.acceleration_rad_s2 * (1 + 1e-9)).all()
        positions.append(motion.position)
    motion_within(robot, positions)
    assert np.ptp(positions, axis=0).min() > 0.5, "the arm hardly moved: the test shows nothing"


@pytest.mark.parametrize("toward", [-1, 1])
def test_a_stop_at_full_speed_towards_a_limit_ends_inside_it(
    robot, middle_rad, motion_within, toward
):
    limit = robot.limits.upper_rad if toward > 0 else robot.limits.lower_rad
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(middle_rad, np.zeros(7))
    positions = [middle_rad]
    for tick in range(400):
        # The target runs ahead at full speed and carries far beyond the limit.
        ahead = shaper.state.position + toward * np.full(7, 2.0)
        motion = shaper.step(ahead, toward * robot.limits.velocity_rad_s)
        positions.append(motion.position)
        if tick > 100 and np.abs(motion.position - limit).min() < 0.05:
            break
    while not shaper.is_at_rest:
        positions.append(shaper.stop().position)
    motion_within(robot, positions)


def test_a_stop_is_the_shortest_and_keeps_the_pose_to_the_bit(robot, middle_rad):
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(middle_rad, np.zeros(7))
    for _ in range(50):
        shaper.step(middle_rad + 1.0, np.zeros(7))
    ticks = 0
    while not shaper.is_at_rest:
        shaper.stop()
        ticks += 1
    limits = robot.limits
    build_up_s = limits.acceleration_rad_s2 / limits.jerk_rad_s3
    longest_s = (limits.velocity_rad_s / limits.acceleration_rad_s2 + 2 * build_up_s).max()
    assert ticks * TICK_S <= longest_s + 2 * TICK_S
    pose = list(shaper.state.position)
    for _ in range(100):
        assert shaper.stop().position == pose


@pytest.mark.parametrize("bad", BAD[:3])
def test_a_target_that_is_not_finite_makes_the_arm_decelerate(robot, middle_rad, bad):
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(middle_rad, np.zeros(7))
    for _ in range(30):
        shaper.step(middle_rad + 1.0, np.zeros(7))
    for _ in range(100):
        shaper.step(np.full(7, bad), np.zeros(7))
    assert shaper.is_at_rest


@pytest.mark.parametrize("toward", [-1, 1])
def test_the_arm_stops_inside_its_limits_when_ruckig_refuses(
    robot, middle_rad, motion_within, toward
):
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(middle_rad, np.zeros(7))
    target = middle_rad + toward
    positions = [shaper.step(target, np.zeros(7)).position for _ in range(20)]
    assert any(shaper.state.acceleration)
    shaper._input.max_jerk = [-1.0] * 7
    with pytest.raises(RuckigError):
        shaper._plan([0.0] * 7)
    positions += [shaper.step(target, np.zeros(7)).position for _ in range(100)]
    assert shaper.is_at_rest
    motion_within(robot, positions)


def test_a_moving_target_of_20_hz_steps_is_followed_without_lag(robot, middle_rad):
    """Piecewise linear between 50 ms points, slope over one step, up to 1 rad/s."""
    at_s = np.arange(0, 8, 0.05)
    path = 0.4 * (1 - np.cos(2.5 * at_s))
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(middle_rad, np.zeros(7))
    errors, speeds = [], []
    for tick in range(1, 750):
        now_s = tick * TICK_S
        here, ahead, behind = np.interp([now_s, now_s + 0.0375, now_s - 0.0125], at_s, path)
        motion = shaper.step(middle_rad + here, np.full(7, (ahead - behind) / 0.05))
        errors.append(np.array(motion.position) - middle_rad - here)
        speeds.append((ahead - behind) / 0.05)
    assert np.abs(errors).max() < 0.006
    lag_s = -np.mean(np.array(errors)[:, 0] * speeds) / np.mean(np.square(speeds))
    assert abs(lag_s) < 0.004


@pytest.mark.parametrize("distance_rad", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(
    "limits", [{}, {"acceleration_rad_s2": np.full(7, 5.0), "jerk_rad_s3": np.full(7, 50.0)}]
)
def test_a_resting_target_is_reached_with_little_overshoot(
    robot, middle_rad, with_limits, limits, distance_rad
):
    shaper = Shaper(with_limits(robot, **limits).limits, TICK_S)
    shaper.seed(middle_rad, np.zeros(7))
    away = [
        np.array(shaper.step(middle_rad + distance_rad, np.zeros(7)).position)
        - middle_rad
        - distance_rad
        for _ in range(300)
    ]
    assert np.max(away) < 0.12 * distance_rad
    assert np.abs(away[-1]).max() < 1e-3 * distance_rad


def test_an_arm_outside_its_limits_only_comes_back(robot, middle_rad):
    outside = robot.limits.upper_rad + 0.05
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(outside, robot.limits.velocity_rad_s)
    positions = [outside]
    for _ in range(200):
        positions.append(shaper.step(robot.limits.upper_rad + 1, np.ones(7)).position)
    assert np.diff(positions, axis=0).max() <= 1e-9
    assert np.abs(positions[-1] - robot.limits.upper_rad).max() < 1e-3


def test_an_unstoppable_measured_velocity_is_not_taken_over(robot):
    shaper = Shaper(robot.limits, TICK_S)
    shaper.seed(robot.limits.upper_rad - 1e-4, robot.limits.velocity_rad_s)
    assert not any(shaper.state.velocity)


def test_joint_order_never_matters(robot, middle_rad, with_limits):
    order = np.random.default_rng(1).permutation(7)
    names = ("lower_rad", "upper_rad", "velocity_rad_s", "acceleration_rad_s2", "jerk_rad_s3")
    swapped = with_limits(robot, **{name: getattr(robot.limits, name)[order] for name in names})
    one, two = Shaper(robot.limits, TICK_S), Shaper(swapped.limits, TICK_S)
    one.seed(middle_rad, np.zeros(7))
    two.seed(middle_rad[order], np.zeros(7))
    rng = np.random.default_rng(2)
    for _ in range(300):
        target, velocity = rng.uniform(-3, 3, 7), rng.normal(size=7)
        first = one.step(target, velocity).position
        second = two.step(target[order], velocity[order]).position
        assert [first[index] for index in order] == second
