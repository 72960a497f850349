"""Normalised and back; statistics by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.policy.features import state_features
from vla_ros.policy.normalizer import MIN_DELTA_STD_RAD, Normalizer
from vla_ros.robot_config import RobotConfig


def fitted(seed: int = 0) -> Normalizer:
    rng = np.random.default_rng(seed)
    deltas = rng.normal(0.1, 0.05, (40, 4, 2)) * np.arange(1, 5)[:, None]
    return Normalizer.fit(rng.normal(2, 3, (40, 6)), deltas, np.ones((40, 4), bool))


@given(st.integers(0, 1000))
def test_there_and_back(seed: int) -> None:
    rng, normalizer = np.random.default_rng(seed), fitted()
    state = rng.uniform(-2, 2, (5, 3))
    joints = state[:, None, :2] + rng.normal(0, 0.2, (5, 4, 2))
    actions = np.concatenate([joints, rng.uniform(0, 1, (5, 4, 1))], axis=-1)
    back = normalizer.denormalize_chunk(normalizer.normalize_chunk(actions, state), state)
    np.testing.assert_allclose(back, actions, atol=1e-5)


def test_statistics_are_per_step_and_joint_without_masked_steps() -> None:
    rng = np.random.default_rng(0)
    deltas, valid = rng.normal(size=(30, 4, 2)), np.ones((30, 4), bool)
    valid[20:, 3] = False
    deltas[20:, 3] = 1e9
    normalizer = Normalizer.fit(rng.normal(size=(30, 6)), deltas, valid)
    np.testing.assert_allclose(normalizer.delta_mean[3], deltas[:20, 3].mean(axis=0))
    np.testing.assert_allclose(normalizer.delta_std[3], deltas[:20, 3].std(axis=0))
    np.testing.assert_allclose(normalizer.delta_mean[0], deltas[:, 0].mean(axis=0))


def test_training_data_has_mean_zero_and_deviation_one() -> None:
    features = np.random.default_rng(0).normal(2, 3, (400, 6))
    normalizer = Normalizer.fit(features, np.zeros((400, 4, 2)), np.ones((400, 4), bool))
    scaled = np.clip(normalizer.normalize_features(features), -4.9, 4.9)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=0.01)


def test_a_joint_that_never_moves_does_not_divide_by_zero() -> None:
    normalizer = Normalizer.fit(np.ones((9, 6)), np.zeros((9, 4, 2)), np.ones((9, 4), bool))
    assert (normalizer.delta_std == MIN_DELTA_STD_RAD).all()
    assert np.isfinite(normalizer.normalize_features(np.zeros(6))).all()


def test_the_gripper_is_the_only_thing_clipped() -> None:
    normalizer = fitted()
    chunk = np.full((4, 3), 50.0, np.float32)
    actions = normalizer.denormalize_chunk(chunk, np.zeros(3))
    assert (actions[:, 2] == 1).all()
    expected = 50 * normalizer.delta_std + normalizer.delta_mean
    np.testing.assert_allclose(actions[:, :2], expected)


def test_features_tell_where_the_gripper_is(robot: RobotConfig) -> None:
    state = np.array([0.1, -0.5, 0.2, -2.0, 0.0, 1.6, 0.8, 0.4])
    features, pose = state_features(robot.chain, state), robot.chain.forward(state[:7])
    np.testing.assert_array_equal(features[:8], state)
    np.testing.assert_allclose(features[8:11], pose[:3, 3])
    np.testing.assert_allclose(features[11:], pose[:3, :2].T.ravel())
    batch = state_features(robot.chain, np.stack([state, state + 0.1]))
    np.testing.assert_allclose(batch[0], features)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(batch[1, 8:], features[8:])
