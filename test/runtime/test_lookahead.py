"""What the loop says would follow: the plan inside the limits, then rest; asking changes none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla_ros.runtime.lookahead import PERIOD_S


def test_the_rest_of_the_plan_is_told_until_rest(rig):
    rig.start()
    ahead = rig.loop.plan_ahead(rig.now_s)
    limits = rig.robot.limits
    positions = np.array([rig.commands[-1].position_rad, *(c.position_rad for c in ahead)])
    speeds = np.abs(np.diff(positions, axis=0)) / PERIOD_S
    assert (speeds <= limits.velocity_rad_s + 1e-6).all()
    assert not ahead[-1].velocity_rad_s.any()
    stamps = np.diff([rig.now_s, *(command.stamp_s for command in ahead)])
    np.testing.assert_allclose(stamps, PERIOD_S)
    assert np.abs(positions[-1] - positions[0]).max() > 0.05


def test_the_arm_goes_where_the_plan_ahead_said_when_the_policy_falls_silent(rig):
    rig.start()
    rig.policy.actions = RuntimeError("no more plans")
    ahead = rig.loop.plan_ahead(rig.now_s)
    rig.run(0.1)
    near = [c for c in ahead if abs(c.stamp_s - rig.now_s) < 1e-3]
    np.testing.assert_allclose(near[0].position_rad, rig.commands[-1].position_rad, atol=0.01)


def test_looking_ahead_changes_no_command(make_rig, policy):
    rig, other_rig = make_rig(policy), make_rig(policy)
    for each in (rig, other_rig):
        each.start(seconds=0.3)
    for _ in range(20):
        rig.loop.plan_ahead(rig.now_s)
        rig.run(0.01)
        other_rig.run(0.01)
        np.testing.assert_array_equal(
            rig.commands[-1].position_rad, other_rig.commands[-1].position_rad
        )


def test_an_arm_that_was_never_commanded_has_no_plan(rig):
    assert rig.loop.plan_ahead(rig.now_s) == []


def test_the_gripper_keeps_its_velocity_in_the_plan_ahead_and_in_motion(make_rig, robot, policy):
    gripper = replace(robot.gripper, velocity_m_s=0.02)
    rig = make_rig(policy, robot=replace(robot, gripper=gripper))
    rig.loop.slow_down(0.5)
    rig.start(seconds=0.3)
    step = 0.5 * 0.02 / 0.04  # of the opening, a second; the policy wants a quarter open at once
    moved = np.diff([1.0, *(command.gripper_open for command in rig.commands)])
    assert np.abs(moved).max() == pytest.approx(step * robot.tick_s)
    openings = [rig.commands[-1].gripper_open]
    openings += [command.gripper_open for command in rig.loop.plan_ahead(rig.now_s)]
    assert np.abs(np.diff(openings)).max() == pytest.approx(step * PERIOD_S)
