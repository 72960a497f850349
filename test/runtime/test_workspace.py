"""The tip never leaves its box, and the arm keeps its limits at the wall."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla_ros.robot_safety import WorkspaceConfig
from vla_ros.runtime import SafetyFilter, Shaper
from vla_ros.runtime.workspace import Workspace

# What lies between the points that are looked at.
STRAY_M = 0.001


@pytest.fixture(scope="module")
def boxed(robot):
    """The Panda with a box of 20 cm about its tip at home."""
    home = np.array([0.0, -0.6, 0.0, -2.2, 0.0, 1.6, 0.8])
    tip_m = robot.chain.forward(home)[:3, 3]
    box = WorkspaceConfig(lower_m=tip_m - 0.1, upper_m=tip_m + 0.1)
    safety = dataclasses.replace(robot.safety, workspace=box)
    return dataclasses.replace(robot, safety=safety), home


def tips(robot, positions):
    return robot.chain.forward(np.asarray(positions))[..., :3, 3]


def excess_m(robot, positions):
    box, tips_m = robot.safety.workspace, tips(robot, positions)
    return np.maximum(box.lower_m - tips_m, tips_m - box.upper_m).max()


@pytest.mark.fault(27)
def test_the_tip_stays_in_its_box_under_thousands_of_hostile_targets(boxed, motion_within):
    robot, home = boxed
    rng = np.random.default_rng(5)
    shaper = Shaper(robot.limits, robot.tick_s, Workspace.of(robot))
    shaper.seed(home, np.zeros(7))
    positions, target = [home], home
    for _ in range(4000):
        if rng.random() < 0.03:
            target = rng.uniform(robot.limits.lower_rad, robot.limits.upper_rad)
        positions.append(shaper.step(target, rng.normal(0, 0.5, 7)).position)
    motion_within(robot, positions)
    assert excess_m(robot, positions) < STRAY_M
    assert np.ptp(tips(robot, positions), axis=0).min() > 0.1, "the arm hardly moved"
    assert shaper.clamped > 1000


def test_at_its_wall_it_comes_to_rest_near_the_wall_and_goes_back_inward(boxed, motion_within):
    robot, home = boxed
    shaper = Shaper(robot.limits, robot.tick_s, Workspace.of(robot))
    shaper.seed(home, np.zeros(7))
    beyond = home.copy()
    beyond[1] += 1.0  # leans far forward, and down
    positions = [home, *(shaper.step(beyond, np.zeros(7)).position for _ in range(400))]
    wall_m = -excess_m(robot, positions[-1])
    assert -STRAY_M < wall_m < 0.01, "it stops well before the wall"
    assert np.abs(np.diff(positions[-50:], axis=0)).max() < 1e-4, "it trembles at the wall"
    positions += [shaper.step(home, np.zeros(7)).position for _ in range(300)]
    assert np.abs(np.array(positions[-1]) - home).max() < 1e-3
    motion_within(robot, positions)
    assert excess_m(robot, positions) < STRAY_M


@pytest.mark.fault(29)
def test_a_tip_outside_its_box_only_comes_back(boxed):
    robot, home = boxed
    outside = home.copy()
    outside[1] += 0.4
    start_m = excess_m(robot, outside)
    assert start_m > 0.05
    shaper = Shaper(robot.limits, robot.tick_s, Workspace.of(robot))
    shaper.seed(outside, np.full(7, 0.3))
    away = outside + np.array([0, 0.5, 0, 0, 0, 0, 0])
    positions = [shaper.step(away, np.ones(7)).position for _ in range(200)]
    assert excess_m(robot, positions) < start_m + STRAY_M
    positions = [shaper.step(home, np.zeros(7)).position for _ in range(300)]
    assert excess_m(robot, positions[-1]) < 0


def test_the_last_gate_lets_no_setpoint_out_of_the_box(boxed):
    robot, home = boxed
    safety, rng = SafetyFilter(robot), np.random.default_rng(6)
    safety.seed(home, 1.0)
    position, direction = home, rng.normal(0, 1, 7)
    for _ in range(3000):
        if rng.random() < 0.01:
            direction = rng.normal(0, 1, 7)
        step = direction * robot.limits.velocity_rad_s * robot.tick_s
        position = safety.apply(position + step, np.ones(7), 1.0, 0.0).position_rad
        assert excess_m(robot, position) <= 0.005 + 1e-6
    assert safety.clamped > 500
