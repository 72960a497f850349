"""Rotations between the forms that policies and drivers use; matrices inside, (..., 3, 3).

A matrix has neither a hemisphere nor a jump at pi; the other forms are met at the edges only.
"""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import ActionError

ROTATION_WIDTHS = {"rotation_vector": 3, "quaternion_xyzw": 4, "rotation_6d": 6}
"""How many numbers each form takes in an action."""

_SMALLEST = 1e-6


def matrix_from(kind: str, values: FloatArray) -> FloatArray:
    """Rotation matrix of `values` (n,) in the form `kind`, a key of `ROTATION_WIDTHS`.

    Raises:
        ActionError: A quaternion of no length, or 6D columns that span no plane.
    """
    convert = {
        "rotation_vector": matrix_from_vector,
        "quaternion_xyzw": matrix_from_quaternion,
        "rotation_6d": matrix_from_6d,
    }
    return convert[kind](np.asarray(values, np.float64))


def matrix_from_vector(vector: FloatArray) -> FloatArray:
    """Rodrigues' formula; the vector's length (3,) is the angle [rad]."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def vector_from_matrix(rotation: FloatArray) -> FloatArray:
    """Rotation vector (3,) of the shortest turn, in [0, pi]."""
    x, y, z, w = quaternion_from_matrix(rotation)
    axis = np.array([x, y, z]) if w >= 0 else -np.array([x, y, z])
    length = float(np.linalg.norm(axis))
    return axis * (2 * np.arctan2(length, abs(w)) / length) if length > 1e-12 else 2 * axis


def matrix_from_quaternion(quaternion: FloatArray) -> FloatArray:
    """Matrix of (x, y, z, w) of any length but 0; q and -q are the same rotation."""
    length = float(np.linalg.norm(quaternion))
    if length < _SMALLEST:
        raise ActionError(f"the quaternion {quaternion.tolist()} has no length; valid: length 1")
    x, y, z, w = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_matrix(rotation: FloatArray, near: FloatArray | None = None) -> FloatArray:
    """Unit quaternion (x, y, z, w).

    Args:
        rotation: Shape (3, 3).
        near: An earlier quaternion, in whose hemisphere the result lies: an interpolation between
            both then takes the short way. `None` takes w >= 0.
    """
    # The largest of the four is divided by: no loss near a half turn (Shepperd 1978).
    xx, yy, zz = np.diag(rotation)
    squares = np.array([1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz])
    largest = int(np.argmax(squares))
    (_, a, b), (c, _, d), (e, f, _) = rotation
    rows = np.array(
        [
            [squares[0], a + c, b + e, f - d],
            [a + c, squares[1], d + f, b - e],
            [b + e, d + f, squares[2], c - a],
            [f - d, b - e, c - a, squares[3]],
        ]
    )
    quaternion = rows[largest] / np.linalg.norm(rows[largest])
    is_far = quaternion[3] < 0 if near is None else float(quaternion @ near) < 0
    return np.asarray(-quaternion if is_far else quaternion, np.float64)


def matrix_from_6d(columns: FloatArray) -> FloatArray:
    """Matrix whose first two columns are near `columns` (6,), by Gram-Schmidt (1812.07035)."""
    first, second = columns[:3], columns[3:]
    length = float(np.linalg.norm(first))
    if length < _SMALLEST:
        raise ActionError(_flat(columns))
    x = first / length
    rest = second - (x @ second) * x
    length = float(np.linalg.norm(rest))
    if length < _SMALLEST:
        raise ActionError(_flat(columns))
    y = rest / length
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _flat(columns: FloatArray) -> str:
    return (
        f"the 6D rotation {columns.tolist()} spans no plane; "
        "valid: the first two columns of a rotation matrix, one after the other"
    )
