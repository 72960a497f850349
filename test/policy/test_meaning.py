"""Actions of every declared meaning become the joint targets that they stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vla_ros.datatypes import ActionChunk, Observation, RobotState
from vla_ros.errors import ActionError, CheckpointError
from vla_ros.policy.meaning import (
    JointActionPolicy,
    action_names,
    joint_spec,
    to_joint_actions,
    with_joint_actions,
)
from vla_ros.policy_protocol import PolicySpec
from vla_ros.robot_config import load_robot
from vla_ros.rotations import quaternion_from_matrix, vector_from_matrix
from vla_ros.share import share_path

PANDA = load_robot(share_path("config/panda.yaml"))
HOME = np.array([0.0, 0.2, 0.0, -2.2, 0.0, 2.4, 0.8])
# A path of 5 joint targets, and openings of the gripper beside them.
PATH = HOME + np.linspace(0.03, 0.15, 5)[:, None] * np.array([1, -1, 0.5, 1, 0.3, -1, 1])
OPEN = np.linspace(0, 1, 5)[:, None]


def arm(**changes):
    return replace(PANDA, arm_sink=replace(PANDA.arm_sink, **changes))


def observation(position=HOME):
    state = RobotState(
        position_rad=position, velocity_rad_s=np.zeros(7), gripper_open=1.0, stamp_s=1.0
    )
    return Observation(frames={}, state=state, instruction="go", epoch=1, stamp_s=1.0)


def as_rotation(kind, rotation):
    match kind:
        case "rotation_vector":
            return vector_from_matrix(rotation)
        case "quaternion_xyzw":
            return -quaternion_from_matrix(rotation)  # the other hemisphere: the same rotation
        case _:
            return np.concatenate([rotation[:, 0], rotation[:, 1]])


def tip_actions(meaning, kind, frame):
    rows, tip = [], PANDA.chain.forward(HOME)
    for pose, opening in zip(PANDA.chain.forward(PATH), OPEN, strict=True):
        said = pose.copy()
        if meaning == "delta_tip_pose" and frame == "tip":
            said = np.linalg.inv(tip) @ pose
        elif meaning == "delta_tip_pose":
            said[:3, 3] -= tip[:3, 3]
            said[:3, :3] = pose[:3, :3] @ tip[:3, :3].T
        rows.append(np.concatenate([said[:3, 3], as_rotation(kind, said[:3, :3]), opening]))
    return np.array(rows)


@pytest.mark.parametrize("kind", ["rotation_vector", "quaternion_xyzw", "rotation_6d"])
@pytest.mark.parametrize(
    ("meaning", "frame"),
    [("absolute_tip_pose", "base"), ("delta_tip_pose", "base"), ("delta_tip_pose", "tip")],
)
def test_tip_poses_are_reached_whatever_form_they_have(meaning, frame, kind):
    robot = arm(meaning=meaning, rotation=kind, frame=frame)
    actions = to_joint_actions(tip_actions(meaning, kind, frame), observation(), robot)
    reached = PANDA.chain.forward(actions[:, :7])
    np.testing.assert_allclose(reached, PANDA.chain.forward(PATH), atol=2e-3)
    np.testing.assert_array_equal(actions[:, 7:], OPEN)
    # Seven joints could take another posture; the nearest one is kept.
    assert np.abs(actions[:, :7] - PATH).max() < 0.1


def test_deltas_count_from_the_observation_not_from_the_step_before():
    deltas = np.concatenate([PATH - HOME, OPEN], axis=1)
    actions = to_joint_actions(deltas, observation(), arm(meaning="delta_joint_position"))
    np.testing.assert_allclose(actions, np.concatenate([PATH, OPEN], axis=1))


def test_closed_fraction_is_turned_round():
    robot = replace(PANDA, gripper_sink=replace(PANDA.gripper_sink, meaning="closed_fraction"))
    actions = np.concatenate([PATH, OPEN], axis=1)
    np.testing.assert_allclose(to_joint_actions(actions, observation(), robot)[:, 7:], 1 - OPEN)


def test_pose_out_of_reach_is_refused_with_how_far_it_is():
    far = np.array([[3.0, 0, 0.5, 0, 0, 0, 1.0]])
    with pytest.raises(ActionError, match=r"nearest found misses by [2-3]\.\d+ m"):
        to_joint_actions(far, observation(), arm(meaning="absolute_tip_pose"))


def test_joint_targets_stay_inside_the_limits():
    """A joint at its limit is left there; the redundant arm reaches the pose with the others."""
    limits = replace(PANDA.limits, upper_rad=np.append(0.01, PANDA.limits.upper_rad[1:]))
    robot = replace(arm(meaning="delta_tip_pose"), limits=limits)
    aside = np.array([[0.0, 0.05, 0, 0, 0, 0, 1.0]])
    free = to_joint_actions(aside, observation(), arm(meaning="delta_tip_pose"))
    actions = to_joint_actions(aside, observation(), robot)
    assert free[0, 0] > 0.03 > 0.01 >= actions[0, 0]
    reached = [PANDA.chain.forward(row[0, :7])[:3, 3] for row in (free, actions)]
    np.testing.assert_allclose(*reached, atol=2e-3)


@pytest.mark.parametrize("bad", [np.zeros((2, 8)), np.full((2, 7), np.nan), np.zeros(7)])
def test_wrong_shape_or_number_is_refused(bad):
    with pytest.raises(ActionError, match=r"valid: \(T, 7\) finite numbers, for x, y, z, rx"):
        to_joint_actions(bad, observation(), arm(meaning="absolute_tip_pose"))


class TipPolicy:
    """Says one step of tip deltas."""

    def __init__(self, spec):
        self.spec = spec

    def reset(self):
        pass

    def infer(self, observation, prefix=None):
        return ActionChunk(
            actions=np.array([[0.01, 0, 0, 0, 0, 0, 1.0]]),
            start_s=observation.stamp_s,
            step_s=0.1,
            epoch=observation.epoch,
            inference_s=0.01,
        )


def spec(**changes):
    values = {
        "robot": "panda",
        "cameras": (),
        "state_names": PANDA.action_names,
        "action_names": PANDA.action_names,
        "horizon": 1,
        "step_s": 0.1,
    }
    return PolicySpec(**values | changes)


def test_a_tip_policy_looks_like_one_of_joints():
    robot = arm(meaning="delta_tip_pose")
    policy = with_joint_actions(
        TipPolicy(spec(action_meaning="delta_tip_pose", action_names=action_names(robot))), robot
    )
    assert policy.spec.action_names == PANDA.action_names
    chunk = policy.infer(observation())
    moved = PANDA.chain.forward(chunk.actions[0, :7]) - PANDA.chain.forward(HOME)
    np.testing.assert_allclose(moved[:3, 3], [0.01, 0, 0], atol=2e-4)
    assert (chunk.start_s, chunk.epoch) == (1.0, 1)


def test_a_policy_of_joint_targets_is_left_as_it_is():
    policy = TipPolicy(spec())
    assert with_joint_actions(policy, PANDA) is policy
    assert isinstance(
        with_joint_actions(
            TipPolicy(spec(action_meaning="delta_joint_position")),
            arm(meaning="delta_joint_position"),
        ),
        JointActionPolicy,
    )


def test_meanings_must_agree():
    with pytest.raises(CheckpointError, match="mean absolute_joint_position, .*delta_tip_pose"):
        joint_spec(spec(), arm(meaning="delta_tip_pose"))
    names = spec(action_meaning="delta_tip_pose")
    with pytest.raises(CheckpointError, match="have 8 entries .* has 7: x, y, z, rx"):
        joint_spec(names, arm(meaning="delta_tip_pose"))
