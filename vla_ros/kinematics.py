"""Forward kinematics of a serial arm, with numpy alone.

Used by the policy (pose of the gripper as part of the robot state) and by the safety filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import UrdfError
from vla_ros.urdf import UrdfJoint, rotation_from_rpy


@dataclass(frozen=True, kw_only=True, eq=False)
class KinematicChain:
    """Fixed transforms and axes from the base to the tip of an arm.

    Attributes:
        origins: Transform in front of each joint, shape (J, 4, 4).
        axes: Rotation axis of each joint in its own frame, shape (J, 3), unit length.
        tip: Transform from the last joint to the tip, shape (4, 4).
    """

    origins: FloatArray
    axes: FloatArray
    tip: FloatArray

    @staticmethod
    def from_joints(chain: Sequence[UrdfJoint], names: Sequence[str]) -> KinematicChain:
        """Build the chain of the revolute joints `names` from a URDF path, root to tip.

        Raises:
            UrdfError: The moving joints on the path are not `names`, one is not revolute, or
                an axis has no direction.
        """
        moving = [joint for joint in chain if joint.kind != "fixed"]
        if [joint.name for joint in moving] != list(names):
            raise UrdfError(
                f"the moving joints up to the tip are {[joint.name for joint in moving]}, "
                f"the robot file lists {list(names)}"
            )
        origins, axes, transform = [], [], np.eye(4)
        for joint in chain:
            transform = transform @ _transform(joint)
            if joint.kind in ("revolute", "continuous"):
                origins.append(transform)
                axes.append(_direction(joint))
                transform = np.eye(4)
            elif joint.kind != "fixed":
                raise UrdfError(f"joint {joint.name!r} is {joint.kind}; valid: revolute, fixed")
        return KinematicChain(origins=np.stack(origins), axes=np.stack(axes), tip=transform)

    def forward(self, position_rad: FloatArray) -> FloatArray:
        """Pose of the tip in the base frame, shape (..., 4, 4), for positions of shape (..., J)."""
        pose = np.broadcast_to(np.eye(4), (*position_rad.shape[:-1], 4, 4))
        for index, origin in enumerate(self.origins):
            pose = pose @ origin @ _rotation(self.axes[index], position_rad[..., index])
        return np.asarray(pose @ self.tip, np.float64)

    def jacobian(self, position_rad: FloatArray) -> FloatArray:
        """Velocity of the tip a joint velocity, shape (6, J), in the base frame.

        Three rows of translation [m/rad], three of rotation; for positions of shape (J,).
        """
        frames, pose = [], np.eye(4)
        for index, origin in enumerate(self.origins):
            pose = pose @ origin @ _rotation(self.axes[index], position_rad[index])
            frames.append(pose)
        axes = np.stack(
            [frame[:3, :3] @ axis for frame, axis in zip(frames, self.axes, strict=True)]
        )
        arms = (pose @ self.tip)[:3, 3] - np.stack([frame[:3, 3] for frame in frames])
        return np.concatenate([np.cross(axes, arms), axes], axis=1).T


def _direction(joint: UrdfJoint) -> FloatArray:
    length = np.linalg.norm(joint.axis)
    if not length > 0:
        raise UrdfError(f"joint {joint.name!r} turns about axis {joint.axis}, no direction")
    return np.asarray(np.asarray(joint.axis) / length, np.float64)


def _transform(joint: UrdfJoint) -> FloatArray:
    transform = np.eye(4)
    transform[:3, :3] = rotation_from_rpy(joint.origin_rpy_rad)
    transform[:3, 3] = joint.origin_xyz_m
    return transform


def _rotation(axis: FloatArray, angle_rad: FloatArray) -> FloatArray:
    """Rodrigues' formula as a homogeneous transform, shape (..., 4, 4)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sin, cos = np.sin(angle_rad)[..., None, None], np.cos(angle_rad)[..., None, None]
    rotation = np.zeros((*np.shape(angle_rad), 4, 4))
    rotation[..., :3, :3] = np.eye(3) + sin * cross + (1 - cos) * (cross @ cross)
    rotation[..., 3, 3] = 1
    return rotation
