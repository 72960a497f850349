"""What the model is told about the arm: joints, gripper, and where the gripper is."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.kinematics import KinematicChain

POSE_FEATURES = 9


def state_features(chain: KinematicChain, state: FloatArray) -> FloatArray:
    """Return the features of robot states, shape (..., S + 9).

    The pose of the tip follows the state: its position [m], then the first two columns of its
    rotation, which, unlike angles, change continuously (1812.07035).

    Args:
        chain: Kinematics from the base to the tip.
        state: Joint positions [rad], then the gripper opening when there is one, shape (..., S).
    """
    pose = chain.forward(np.asarray(state[..., : len(chain.axes)], np.float64))
    parts = (state, pose[..., :3, 3], pose[..., :3, 0], pose[..., :3, 1])
    return np.concatenate(parts, axis=-1, dtype=np.float64)
