"""Rotations: every form gives the same matrix back, at half turns and in both hemispheres too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.errors import ActionError
from vla_ros.rotations import (
    matrix_from,
    matrix_from_quaternion,
    matrix_from_vector,
    quaternion_from_matrix,
    vector_from_matrix,
)

_VECTORS = st.lists(st.floats(-3.2, 3.2), min_size=3, max_size=3).map(np.array)


@given(_VECTORS)
def test_every_form_describes_the_same_rotation(vector):
    rotation = matrix_from_vector(vector)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    quaternion = quaternion_from_matrix(rotation)
    np.testing.assert_allclose(matrix_from_quaternion(quaternion), rotation, atol=1e-7)
    np.testing.assert_allclose(matrix_from_quaternion(-3 * quaternion), rotation, atol=1e-7)
    np.testing.assert_allclose(
        matrix_from_vector(vector_from_matrix(rotation)), rotation, atol=1e-7
    )
    six = np.concatenate([rotation[:, 0] * 2, rotation[:, 1] + rotation[:, 0]])
    np.testing.assert_allclose(matrix_from("rotation_6d", six), rotation, atol=1e-9)


def test_half_turns_are_as_exact_as_others():
    for axis in np.eye(3):
        rotation = matrix_from_vector(axis * np.pi)
        assert np.linalg.norm(vector_from_matrix(rotation)) == pytest.approx(np.pi)


def test_quaternions_stay_in_the_hemisphere_of_the_one_before():
    last = None
    for angle in np.linspace(0, 4 * np.pi, 200):
        quaternion = quaternion_from_matrix(matrix_from_vector(np.array([0, 0, angle])), last)
        if last is not None:
            assert np.abs(quaternion - last).max() < 0.05
        last = quaternion


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("quaternion_xyzw", [0, 0, 0, 0], "has no length"),
        ("rotation_6d", [0, 0, 0, 0, 1, 0], "spans no plane"),
        ("rotation_6d", [1, 0, 0, 2, 0, 0], "spans no plane"),
    ],
)
def test_what_is_no_rotation_is_refused(kind, values, message):
    with pytest.raises(ActionError, match=message):
        matrix_from(kind, np.array(values, float))
