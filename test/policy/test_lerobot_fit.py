"""A LeRobot checkpoint and a robot file: what fits, and that all that does not is told at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_ros.errors import CheckpointError
from vla_ros.policy.lerobot_fit import ACTION, STATE, LeRobotFeatures, check_lerobot
from vla_ros.policy.lerobot_units import LeRobotUnits
from vla_ros.robot_config import GRIPPER, RobotConfig, load_robot
from vla_ros.robot_lerobot import LeRobotConfig
from vla_ros.share import share_path

TOP, HAND = "observation.images.top", "observation.images.hand"


@pytest.fixture
def robot() -> RobotConfig:
    """The Panda, as a policy in degrees knows it: the gripper first, the joints backwards."""
    panda = load_robot(share_path("config/panda.yaml"))
    entries = (GRIPPER, *reversed(panda.joints))
    said = LeRobotConfig(
        step_s=0.05,
        images={"front": TOP, "wrist": HAND},
        units="degrees",
        state=entries,
        actions=entries,
        gripper_closed=0.0,
        gripper_open=100.0,
    )
    return replace(panda, lerobot=said)


@pytest.fixture
def features(robot: RobotConfig) -> LeRobotFeatures:
    """A policy that was trained in the middle of the Panda's range."""
    assert robot.lerobot is not None
    middle_rad = (robot.limits.lower_rad + robot.limits.upper_rad) / 2
    mean = np.append(50.0, np.rad2deg(middle_rad)[::-1])
    numbers = {"mean": mean, "std": np.full(8, 10.0), "min": mean - 20, "max": mean + 20}
    pixels = {"mean": np.full((3, 1, 1), 0.5), "std": np.full((3, 1, 1), 0.2)}
    images = {TOP: (3, 480, 640), HAND: (3, 240, 320)}
    keys = (STATE, ACTION, *images)
    return LeRobotFeatures(
        images=images,
        shapes={STATE: (8,), ACTION: (8,)},
        modes=dict.fromkeys(keys, "MEAN_STD"),
        statistics={STATE: numbers, ACTION: numbers, **dict.fromkeys(images, pixels)},
        horizon=50,
    )


def refusal(features: LeRobotFeatures, robot: RobotConfig) -> str:
    with pytest.raises(CheckpointError) as caught:
        check_lerobot(features, robot, Path("act"))
    return str(caught.value)


def test_what_fits_is_told_in_the_robot_files_names(features, robot):
    spec = check_lerobot(features, robot, Path("act"))
    assert spec.action_names == spec.state_names == robot.action_names
    sizes = [(camera.name, camera.height_px, camera.width_px) for camera in spec.cameras]
    assert sizes == [("front", 480, 640), ("wrist", 240, 320)]
    assert (spec.horizon, spec.step_s) == (50, 0.05)
    assert spec.action_meaning == "absolute_joint_position"


def test_everything_wrong_is_told_in_one_message(features, robot):
    short = replace(
        features,
        images={TOP: (1, 480, 640), "observation.images.side": (3, 96, 96)},
        shapes={STATE: (6,), ACTION: (8,), "observation.environment_state": (3,)},
        modes={**features.modes, ACTION: "IDENTITY"},
        horizon=2,
    )
    text = refusal(short, robot)
    for told in (
        f"lerobot.images.wrist is '{HAND}'; the policy has: {TOP}, observation.images.side",
        "the policy needs 'observation.images.side', which no camera of lerobot.images gives",
        f"'{TOP}' has shape (1, 480, 640); valid: (3, height, width)",
        "observation.state: has shape (6,); the robot file has 8 entries: gripper, panda_joint7",
        "observation.environment_state: the policy needs it (shape (3,))",
        "action: is not normalised (IDENTITY); valid: MEAN_STD, MIN_MAX",
        "chunks: execute_s is 0.3 s, but a chunk of the checkpoint ends after 0.1 s",
    ):
        assert told in text
    assert f"{text.count(chr(10))} problem(s)" in text


@pytest.mark.parametrize("key", [STATE, ACTION, TOP])
def test_a_policy_without_statistics_is_refused(features, robot, key):
    bare = replace(features, statistics={**features.statistics, key: {}})
    assert f"{key}: has no normalisation statistics mean, std for MEAN_STD" in refusal(bare, robot)


def test_a_policy_that_nothing_normalises_is_refused(features, robot):
    text = refusal(replace(features, modes={}, statistics={}), robot)
    assert "observation.state: is not normalised (no step of the checkpoint does it)" in text
    assert "action: is not normalised" in text


def test_pictures_may_go_without(features, robot):
    modes = {**features.modes, TOP: "IDENTITY", HAND: "IDENTITY"}
    pictures = {key: features.statistics[key] for key in (STATE, ACTION)}
    check_lerobot(replace(features, modes=modes, statistics=pictures), robot, Path("smolvla"))


@pytest.mark.parametrize("values", [np.full(8, np.nan), np.ones(7)])
def test_statistics_must_be_numbers_of_the_right_shape(features, robot, values):
    numbers = {**features.statistics[ACTION], "mean": values}
    text = refusal(replace(features, statistics={**features.statistics, ACTION: numbers}), robot)
    assert f"action: its normalisation statistic mean has shape {values.shape}" in text
    assert "valid: finite numbers of shape (8,)" in text


@pytest.mark.parametrize("names", [("min", "max"), ("q01", "q99"), ()])
def test_degrees_taken_for_radians_are_found_by_the_statistics(features, robot, names):
    wrong = replace(robot, lerobot=replace(robot.lerobot, units="radians"))
    numbers = features.statistics[STATE]
    few = {"mean": numbers["mean"], "std": numbers["std"]}
    if names:
        few |= dict(zip(names, (numbers["min"], numbers["max"]), strict=True))
    text = refusal(replace(features, statistics={**features.statistics, STATE: few}), wrong)
    assert "observation.state: in the policy's training were [rad] panda_joint1 between" in text
    assert "is its unit radians (lerobot.units; valid: radians, degrees, percent)" in text


def test_radians_taken_for_degrees_are_found_too(features, robot):
    numbers = {
        name: np.append(values[:1], np.deg2rad(values[1:]))
        for name, values in features.statistics[STATE].items()
    }
    small = replace(features, statistics={**features.statistics, STATE: numbers, ACTION: numbers})
    radians = replace(robot, lerobot=replace(robot.lerobot, units="radians"))
    check_lerobot(small, radians, Path("act"))
    # One of the Panda's joints is in no middle near zero degrees, or nothing moves: either is told.
    text = refusal(small, robot)
    assert "is its unit degrees" in text


def test_a_wrong_order_is_found_where_a_joint_could_not_be(features, robot):
    entries = list(robot.lerobot.state)
    elbow, wrist = entries.index("panda_joint4"), entries.index("panda_joint6")
    entries[elbow], entries[wrist] = entries[wrist], entries[elbow]
    swapped = replace(robot.lerobot, state=tuple(entries), actions=tuple(entries))
    assert "and the order right (lerobot.state, lerobot.actions)?" in refusal(
        features, replace(robot, lerobot=swapped)
    )


def test_a_robot_file_that_says_nothing_is_told_what_to_add(features, robot):
    text = refusal(features, replace(robot, lerobot=None))
    assert f"add lerobot: step_s, images (of {TOP}, {HAND}), units (radians, degrees" in text


@pytest.mark.parametrize("units", ["radians", "degrees", "percent"])
def test_a_state_goes_there_and_back(robot, units):
    convert = LeRobotUnits(robot, replace(robot.lerobot, units=units))
    rng = np.random.default_rng(0)
    for _ in range(50):
        joints = rng.uniform(robot.limits.lower_rad, robot.limits.upper_rad)
        opening = rng.uniform()
        entries = convert.state(joints, opening)
        np.testing.assert_allclose(convert.joints_from_state(entries), joints, atol=1e-12)
        # The actions have the same order here, so a state is an action that stays.
        np.testing.assert_allclose(convert.actions(entries), [*joints, opening], atol=1e-12)


def test_percent_runs_from_limit_to_limit(robot):
    convert = LeRobotUnits(robot, replace(robot.lerobot, units="percent"))
    np.testing.assert_allclose(convert.state(robot.limits.lower_rad, 0.0), [0, *[-100] * 7])
    np.testing.assert_allclose(convert.state(robot.limits.upper_rad, 1.0), [100, *[100] * 7])


def test_deltas_have_no_zero(robot):
    arm = replace(robot.arm_sink, meaning="delta_joint_position")
    delta = replace(robot, arm_sink=arm)
    convert = LeRobotUnits(delta, replace(robot.lerobot, units="percent"))
    actions = convert.actions(np.array([[50.0, *[0.0] * 7], [150.0, *[10.0] * 7]]))
    np.testing.assert_array_equal(actions[0], [*[0.0] * 7, 0.5])
    widths = robot.limits.upper_rad - robot.limits.lower_rad
    np.testing.assert_allclose(actions[1], [*(widths / 20), 1.0])


def test_a_pose_of_the_tip_stays_as_it_is_but_for_the_gripper(robot):
    arm = replace(robot.arm_sink, meaning="absolute_tip_pose")
    convert = LeRobotUnits(replace(robot, arm_sink=arm), replace(robot.lerobot, actions=None))
    pose = [0.4, 0.1, 0.3, 0.0, 3.1, 0.0]
    np.testing.assert_array_equal(convert.actions(np.array([*pose, 25.0])), [*pose, 0.25])


def test_a_robot_without_a_gripper(robot):
    said = replace(robot.lerobot, state=robot.joints, actions=robot.joints, units="radians")
    convert = LeRobotUnits(replace(robot, gripper=None, gripper_sink=None), said)
    joints = np.arange(7.0)
    np.testing.assert_array_equal(convert.state(joints, None), joints)
    np.testing.assert_array_equal(convert.actions(joints), joints)
