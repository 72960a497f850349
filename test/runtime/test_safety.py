"""The last gate: only finite commands inside the limits come out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla_ros.datatypes import ActionChunk, Observation, RobotState
from vla_ros.errors import ActionError
from vla_ros.runtime import SafetyFilter

STATE = RobotState(
    position_rad=np.zeros(7), velocity_rad_s=np.zeros(7), gripper_open=1.0, stamp_s=3.0
)
OBSERVED = Observation(frames={}, state=STATE, instruction="x", epoch=2, stamp_s=3.0)
GOOD = ActionChunk(
    actions=np.tile([0, 0, 0, -1.0, 0, 1.0, 0, 0.5], (4, 1)),
    start_s=3.0,
    step_s=0.05,
    epoch=2,
    inference_s=0.1,
)


@pytest.fixture
def safety(robot, middle_rad):
    safety = SafetyFilter(robot)
    safety.seed(middle_rad, 1.0)
    return safety


def test_nothing_is_commanded_before_the_pose_is_known(robot):
    assert SafetyFilter(robot).apply(np.zeros(7), np.zeros(7), 0.5, 0.0) is None


def test_every_command_is_finite_inside_the_limits_and_near_the_last(robot, safety, middle_rad):
    rng, limits, last = np.random.default_rng(0), robot.limits, middle_rad
    for _ in range(4000):
        position, velocity = rng.normal(0, 3, 7), rng.normal(0, 3, 7)
        gripper = float(rng.choice([rng.normal(), np.nan, np.inf]))
        if rng.random() < 0.3:
            position[rng.integers(7)] = rng.choice([np.nan, np.inf, -np.inf])
        if rng.random() < 0.3:
            velocity[rng.integers(7)] = rng.choice([np.nan, np.inf, 1e300])
        command = safety.apply(position, velocity, gripper, 1.0)
        assert np.isfinite([*command.position_rad, *command.velocity_rad_s]).all()
        assert (command.position_rad >= limits.lower_rad).all()
        assert (command.position_rad <= limits.upper_rad).all()
        assert (np.abs(command.velocity_rad_s) <= limits.velocity_rad_s).all()
        step = np.abs(command.position_rad - last)
        assert (step <= limits.velocity_rad_s * robot.tick_s + 1e-12).all()
        assert 0.0 <= command.gripper_open <= 1.0
        last = command.position_rad
    assert safety.clamped > 1000
    assert safety.refused > 500


def with_gripper_velocity(robot, velocity_m_s):
    gripper = dataclasses.replace(robot.gripper, velocity_m_s=velocity_m_s)
    return dataclasses.replace(robot, gripper=gripper)


def openings(safety, middle_rad, wanted):
    still = np.zeros(7)
    return [safety.apply(middle_rad, still, opening, 1.0).gripper_open for opening in wanted]


def test_the_gripper_never_moves_faster_than_its_velocity(robot, middle_rad):
    safety, rng = SafetyFilter(with_gripper_velocity(robot, 0.1)), np.random.default_rng(0)
    safety.seed(middle_rad, 1.0)
    found = [1.0, *openings(safety, middle_rad, rng.normal(0.5, 1.0, 4000))]
    step = 0.1 * robot.tick_s / 0.04  # of the opening, in a tick
    changes = np.abs(np.diff(found))
    assert changes.max() == pytest.approx(step)
    assert (changes <= step + 1e-12).all()
    closing = openings(safety, middle_rad, [1.0] * 40 + [0.0] * 40)
    assert closing[39] == 1.0
    assert closing[-1] == 0.0


def test_a_slowed_gripper_moves_at_its_share_and_one_without_a_limit_at_once(robot, middle_rad):
    safety = SafetyFilter(with_gripper_velocity(robot, 0.1))
    safety.seed(middle_rad, 1.0)
    safety.slow_down(0.1)
    assert openings(safety, middle_rad, [0.0]) == pytest.approx([1.0 - 0.1 * 0.1 * 0.01 / 0.04])
    free = SafetyFilter(robot)
    free.seed(middle_rad, 1.0)
    free.slow_down(0.1)
    assert openings(free, middle_rad, [0.0, 1.0]) == [0.0, 1.0]


def test_a_good_setpoint_passes_unchanged(safety, middle_rad):
    command = safety.apply(middle_rad + 0.001, np.full(7, 0.1), 0.3, 1.5)
    assert (command.position_rad == middle_rad + 0.001).all()
    assert (command.velocity_rad_s == 0.1).all()
    assert (command.gripper_open, command.stamp_s, safety.clamped) == (0.3, 1.5, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_setpoint_that_is_not_finite_holds_the_pose(safety, middle_rad, bad):
    position = middle_rad + 0.001
    position[3] = bad
    command = safety.apply(position, np.full(7, 0.1), 0.3, 1.5)
    assert (command.position_rad == middle_rad).all()
    assert (command.velocity_rad_s == 0.0).all()
    assert safety.refused == 1


def test_a_bound_that_is_no_number_holds_the_pose(robot, middle_rad):
    # A tick of NaN seconds makes every bound on a step NaN.
    safety = SafetyFilter(dataclasses.replace(robot, tick_hz=np.nan))
    safety.seed(middle_rad, 1.0)
    command = safety.apply(middle_rad + 0.001, np.full(7, 0.1), 0.3, 1.5)
    assert (command.position_rad == middle_rad).all()
    assert (command.velocity_rad_s == 0.0).all()
    assert safety.refused == 1


def test_the_gripper_keeps_its_opening_when_none_is_given(safety, middle_rad):
    safety.apply(middle_rad, np.zeros(7), 0.3, 1.0)
    assert safety.apply(middle_rad, np.zeros(7), None, 1.01).gripper_open == 0.3


def test_a_robot_without_gripper_gets_no_opening(robot, middle_rad):
    safety = SafetyFilter(dataclasses.replace(robot, gripper=None))
    safety.seed(middle_rad, None)
    assert safety.apply(middle_rad, np.zeros(7), 0.3, 1.0).gripper_open is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"actions": np.zeros((4, 7))}, r"shape \(4, 7\); valid: \(T, 8\)"),
        ({"actions": np.zeros(8)}, r"shape \(8,\)"),
        ({"actions": np.zeros((0, 8))}, r"shape \(0, 8\)"),
        ({"actions": None}, r"shape \(\)"),
        ({"actions": [["a"] * 8]}, "no array of numbers"),
        ({"step_s": 0.0}, "step_s is 0.0; valid: above 0 s"),
        ({"step_s": np.nan}, "step_s is nan"),
        ({"start_s": 7.0}, "start_s is 7.0 and its epoch 2; valid: .* 3.0 and 2"),
        ({"start_s": np.nan}, "start_s is nan"),
        ({"epoch": 1}, "epoch 1; valid"),
        ({"epoch": None}, "epoch is None; valid: a whole number"),
        ({"step_s": None}, "step_s is None; valid: a finite number"),
        ({"step_s": np.ones(3)}, "step_s is array"),
        ({"start_s": "3.0"}, "start_s is '3.0'; valid: a finite number"),
        ({"inference_s": None}, "inference_s is None"),
    ],
)
def test_a_bad_chunk_is_refused_with_its_fault(safety, changes, words):
    with pytest.raises(ActionError, match=words):
        safety.checked(dataclasses.replace(GOOD, **changes), OBSERVED)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_joint_and_step(safety, bad):
    actions = GOOD.actions.copy()
    actions[2, 4] = bad
    with pytest.raises(ActionError, match=rf"holds {bad} for panda_joint5 at step 2"):
        safety.checked(dataclasses.replace(GOOD, actions=actions), OBSERVED)


def test_targets_outside_the_limits_are_moved_inside_and_counted(robot, safety):
    wild = dataclasses.replace(GOOD, actions=np.full((4, 8), 1e308, np.float64))
    actions = safety.checked(wild, OBSERVED).actions
    assert (actions == [*robot.limits.upper_rad, 1.0]).all()
    assert safety.clamped == 1


def test_a_good_chunk_passes_as_float64(safety):
    chunk = safety.checked(
        dataclasses.replace(GOOD, actions=GOOD.actions.astype(np.float32)), OBSERVED
    )
    assert chunk.actions.dtype == np.float64
    assert chunk.actions == pytest.approx(GOOD.actions)
    assert safety.clamped == 0
