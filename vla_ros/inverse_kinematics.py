"""Joint positions for a pose of the tip, near a start; used for policies that act with the tip.

Damped least squares, a few iterations: enough from pose to pose of an action chunk.
"""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import ActionError
from vla_ros.kinematics import KinematicChain
from vla_ros.rotations import vector_from_matrix

_ITERATIONS = 40
_DAMPING = 1e-4
_LARGEST_STEP_RAD = 0.2
_CLOSE_M, _CLOSE_RAD = 1e-4, 1e-3
# What is left where the limits or the reach end; beyond it the policy means another pose.
_TOLERATED_M, _TOLERATED_RAD = 0.005, 0.05


def pose_error(wanted: FloatArray, pose: FloatArray) -> FloatArray:
    """What is missing from `pose` (4, 4) to `wanted`: [m] and rotation vector [rad], (6,)."""
    turn = vector_from_matrix(wanted[:3, :3] @ pose[:3, :3].T)
    return np.concatenate([wanted[:3, 3] - pose[:3, 3], turn])


def solve_pose(
    chain: KinematicChain,
    wanted: FloatArray,
    start_rad: FloatArray,
    limits_rad: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Joint positions (J,) inside the limits whose tip is at `wanted`, reached from `start_rad`.

    Args:
        chain: The arm.
        wanted: Pose of the tip in the base frame, shape (4, 4).
        start_rad: Where to begin, shape (J,); of all solutions the one near it is found.
        limits_rad: Lower and upper limits, each of shape (J,).

    Raises:
        ActionError: There is none: the pose is out of reach or beyond the limits.
    """
    position = np.clip(start_rad, *limits_rad)
    error = pose_error(wanted, chain.forward(position))
    for _ in range(_ITERATIONS):
        if _is_within(error, _CLOSE_M, _CLOSE_RAD):
            return np.asarray(position, np.float64)
        jacobian = chain.jacobian(position)
        # A joint that stands at its limit and would leave it takes no part.
        step = _damped_step(jacobian, error)
        stuck = (position + step < limits_rad[0]) | (position + step > limits_rad[1])
        if stuck.any():
            step = np.where(stuck, 0.0, _damped_step(np.where(stuck, 0.0, jacobian), error))
        step *= min(1.0, _LARGEST_STEP_RAD / max(float(np.abs(step).max()), 1e-12))
        position = np.clip(position + step, *limits_rad)
        error = pose_error(wanted, chain.forward(position))
    if not _is_within(error, _TOLERATED_M, _TOLERATED_RAD):
        raise ActionError(
            f"no joint positions inside the limits bring the tip to {wanted[:3, 3].round(3)} m as "
            f"the policy asks; the nearest found misses by {np.linalg.norm(error[:3]):.3f} m and "
            f"{np.linalg.norm(error[3:]):.2f} rad"
        )
    return np.asarray(position, np.float64)


def _damped_step(jacobian: FloatArray, error: FloatArray) -> FloatArray:
    square = jacobian @ jacobian.T + _DAMPING * np.eye(6)
    return np.asarray(jacobian.T @ np.linalg.solve(square, error), np.float64)


def _is_within(error: FloatArray, distance_m: float, angle_rad: float) -> bool:
    far = np.linalg.norm(error[:3]) > distance_m or np.linalg.norm(error[3:]) > angle_rad
    return not far
