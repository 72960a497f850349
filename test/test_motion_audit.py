"""The audit of recorded commands finds what it must and nothing else."""

from __future__ import annotations

import warnings
from array import array
from pathlib import Path

import numpy as np
import pytest

# The first message type imports a parser that uses deprecated modules of Python's.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from motion_audit import MotionAudit

from vla_ros.robot_config import load_robot
from vla_ros.runtime import Shaper

ROBOT = load_robot(Path(__file__).parents[1] / "config" / "panda.yaml")
LIMITS = ROBOT.limits
MIDDLE = (LIMITS.lower_rad + LIMITS.upper_rad) / 2


def command(position, velocity) -> JointTrajectory:
    point = JointTrajectoryPoint(positions=array("d", position), velocities=array("d", velocity))
    return JointTrajectory(joint_names=list(ROBOT.joints), points=[point])


def shaped(ticks: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions and velocities of a real motion, from rest to full speed."""
    shaper = Shaper(LIMITS, ROBOT.tick_s)
    shaper.seed(MIDDLE, np.zeros(7))
    motions = [shaper.step(MIDDLE + 0.8, np.zeros(7)) for _ in range(ticks)]
    return [(np.array(motion.position), np.array(motion.velocity)) for motion in motions]


def audit(path, numbers=None) -> MotionAudit:
    found = MotionAudit(ROBOT)
    for number, (position, velocity) in zip(numbers or range(len(path)), path, strict=True):
        found.take(command(position, velocity), {"publication_sequence_number": number})
    return found


def test_what_the_shaper_commands_is_inside_with_gaps_too():
    path = shaped(120)
    assert not audit(path).examples
    kept = [number for number in range(120) if number % 7 not in (3, 4)]
    assert not audit([path[number] for number in kept], kept).examples
    assert audit(path).travel_rad > 1.0


def at(tick: int, change) -> list[tuple[np.ndarray, np.ndarray]]:
    path = shaped(60)
    path[tick] = change(*path[tick])
    return path


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("not finite", lambda x, v: (x, np.where(np.arange(7) == 2, np.nan, v))),
        ("sizes", lambda x, v: (x, v[:6])),
        ("position", lambda x, v: (LIMITS.upper_rad + 0.001, v)),
        ("velocity", lambda x, v: (x, LIMITS.velocity_rad_s * 1.01)),
        ("step", lambda x, v: (x + LIMITS.velocity_rad_s * 0.03, v)),
        ("acceleration", lambda x, v: (x, v + LIMITS.acceleration_rad_s2 * 0.021)),
        ("jerk", lambda x, v: (x, v + LIMITS.jerk_rad_s3 * 2.1e-4)),
    ],
)
def test_each_violation_is_found(kind, change):
    assert audit(at(30, change)).exceeded[kind] > 0


def test_the_joints_of_another_arm_are_found():
    found = MotionAudit(ROBOT)
    found.take(JointTrajectory(joint_names=["a"]), {"publication_sequence_number": 1})
    assert found.exceeded == {"joint names": 1}


REST = (MIDDLE, np.zeros(7))
ELSEWHERE = (MIDDLE + 0.3, np.full(7, 0.4))


def begin_at(measured, *path) -> MotionAudit:
    found = MotionAudit(ROBOT)
    found.measure(*measured)
    for number, (position, velocity) in enumerate(path):
        found.take(command(position, velocity), {"publication_sequence_number": number})
    return found


def test_after_a_standstill_motion_may_begin_where_the_arm_is_and_as_fast_as_it_moves():
    shaper = Shaper(LIMITS, ROBOT.tick_s)
    shaper.seed(*ELSEWHERE)
    motions = [shaper.step(MIDDLE, np.zeros(7)) for _ in range(50)]
    path = [(np.array(motion.position), np.array(motion.velocity)) for motion in motions]
    found = begin_at(ELSEWHERE, REST, *path)
    assert not found.examples
    assert found.begun == 1


FAST = (MIDDLE + 0.3, 1.5 * LIMITS.velocity_rad_s)
SLOWLY = (MIDDLE + 1e-5, np.full(7, 0.08))
OUTSIDE = (LIMITS.upper_rad + 1e-3, np.full(7, -0.1))


@pytest.mark.parametrize("measured", [FAST, SLOWLY, OUTSIDE])
def test_motion_may_begin_faster_than_allowed_barely_moving_and_outside(measured):
    shaper = Shaper(LIMITS, ROBOT.tick_s)
    shaper.seed(*measured)
    motions = [shaper.step(MIDDLE, np.zeros(7)) for _ in range(50)]
    path = [(np.array(motion.position), np.array(motion.velocity)) for motion in motions]
    stood = (measured[0], np.zeros(7)) if measured is OUTSIDE else REST
    found = begin_at(measured, stood, stood, *path)
    assert not found.examples


def test_an_arm_outside_its_limits_may_not_be_led_further_out():
    out = (OUTSIDE[0] + 1e-4, np.zeros(7))
    assert begin_at(OUTSIDE, out).exceeded["position"] == 1
    assert begin_at(REST, (OUTSIDE[0], np.zeros(7))).exceeded["position"] == 1


@pytest.mark.parametrize(
    ("measured", "first", "second"),
    [
        (REST, REST, ELSEWHERE),  # not where the arm is
        (ELSEWHERE, (MIDDLE, np.full(7, 0.1)), ELSEWHERE),  # not from a standstill
        ((MIDDLE + 0.3, np.zeros(7)), REST, ELSEWHERE),  # faster than the arm moves
    ],
)
def test_motion_begins_anew_in_no_other_way(measured, first, second):
    found = begin_at(measured, first, second)
    assert found.exceeded["step"] == found.exceeded["acceleration"] == 1
    assert found.begun == 0
