"""Numbers of the robot to numbers near one and back, with statistics of the training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.datatypes import FloatArray

Float32Array = NDArray[np.float32]

MIN_FEATURE_STD = 0.01
MIN_DELTA_STD_RAD = 0.001
_FEATURE_BOUND = 5.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Normalizer:
    """Statistics of state features and action chunks.

    A chunk is, to the model, the difference of each step's joint targets from the measured
    position, in standard deviations of that step and joint; the gripper opening is in [-1, 1].

    Attributes:
        feature_mean: Shape (F,).
        feature_std: Shape (F,), at least `MIN_FEATURE_STD`.
        delta_mean: Shape (T, J) [rad].
        delta_std: Shape (T, J) [rad], at least `MIN_DELTA_STD_RAD`.
    """

    feature_mean: FloatArray
    feature_std: FloatArray
    delta_mean: FloatArray
    delta_std: FloatArray

    @staticmethod
    def fit(features: FloatArray, deltas_rad: FloatArray, valid: NDArray[np.bool_]) -> Normalizer:
        """Take the statistics of training data.

        Args:
            features: State features of N rows, shape (N, F).
            deltas_rad: Joint targets less measured positions, shape (N, T, J).
            valid: False for steps beyond their episode's end, shape (N, T).
        """
        weight = valid[..., None] / np.maximum(valid.sum(axis=0), 1)[:, None]  # (N, T, 1)
        mean = (deltas_rad * weight).sum(axis=0)
        std = np.sqrt((np.square(deltas_rad - mean) * weight).sum(axis=0))
        return Normalizer(
            feature_mean=features.mean(axis=0),
            feature_std=np.maximum(features.std(axis=0), MIN_FEATURE_STD),
            delta_mean=mean,
            delta_std=np.maximum(std, MIN_DELTA_STD_RAD),
        )

    def normalize_features(self, features: FloatArray) -> Float32Array:
        """State features (..., F) for the model; far outliers are cut off."""
        scaled = (features - self.feature_mean) / self.feature_std
        return np.clip(scaled, -_FEATURE_BOUND, _FEATURE_BOUND).astype(np.float32)

    def normalize_chunk(self, actions: FloatArray, state: FloatArray) -> Float32Array:
        """Absolute actions (..., T, A) for the model, given the measured state (..., S)."""
        joints = self.delta_mean.shape[-1]
        delta = actions[..., :joints] - state[..., None, :joints]
        scaled = (delta - self.delta_mean) / self.delta_std
        return np.concatenate([scaled, 2 * actions[..., joints:] - 1], axis=-1).astype(np.float32)

    def denormalize_chunk(self, chunk: Float32Array, state: FloatArray) -> FloatArray:
        """Absolute actions (..., T, A) of the model's chunk, given the measured state (..., S)."""
        joints = self.delta_mean.shape[-1]
        scaled = np.asarray(chunk, np.float64)
        delta = scaled[..., :joints] * self.delta_std + self.delta_mean
        gripper = np.clip((scaled[..., joints:] + 1) / 2, 0.0, 1.0)
        return np.concatenate([state[..., None, :joints] + delta, gripper], axis=-1)
