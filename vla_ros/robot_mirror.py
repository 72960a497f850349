"""The robot file's `mirror`: which joints turn which way in a mirror along the base's x-z plane.

Only training uses it. Part of `robot_config.py`, which builds this, and `robot_check.py`, which
holds it against the URDF: a wrong sign would teach wrong motions without any other symptom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.kinematics import KinematicChain

_TOLERANCE = 1e-3
_POSES = 20
# A tool is symmetric about a plane of its own: through its z axis and its x or its y axis.
_TOOL_PLANES = (np.diag([1.0, -1.0, 1.0]), np.diag([-1.0, 1.0, 1.0]))
MIRROR = np.diag([1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True, eq=False)
class MirrorConfig:
    """How the arm looks in the mirror.

    Attributes:
        signs: 1 or -1, shape (J,).
        offset_rad: Added after the sign, shape (J,); a tool that is mounted turned needs it.
        cameras: Those that look along the mirror's plane or the tool's, so that a picture of the
            mirrored scene is the flipped picture.
    """

    signs: FloatArray
    offset_rad: FloatArray
    cameras: tuple[str, ...]

    def joints(self, position_rad: FloatArray) -> FloatArray:
        """Mirrored joint positions, of the shape (..., J) of `position_rad`."""
        return np.asarray(position_rad * self.signs + self.offset_rad)


def build_mirror(data: Mapping[str, Any]) -> MirrorConfig | None:
    """The `mirror` of a checked robot file; `None` where there is none."""
    if "mirror" not in data:
        return None
    mirror = data["mirror"]
    signs = np.array(mirror["signs"], np.float64)
    offset_rad = np.array(mirror.get("offset_rad", np.zeros(len(signs))), np.float64)
    return MirrorConfig(signs=signs, offset_rad=offset_rad, cameras=tuple(mirror["cameras"]))


def find_mirror_problems(data: Mapping[str, Any]) -> list[str]:
    """What the schema cannot see in `mirror`, a sentence each."""
    mirror = data.get("mirror", {})
    joints = len(data.get("joints", []))
    problems = [
        f"mirror.{key}: has {len(mirror[key])} values for {joints} joints"
        for key in ("signs", "offset_rad")
        if joints and key in mirror and len(mirror[key]) != joints
    ]
    cameras = data.get("cameras", {})
    problems += [
        f"mirror.cameras: there is no camera {name!r}; valid: {', '.join(cameras)}"
        for name in mirror.get("cameras", [])
        if cameras and name not in cameras
    ]
    return problems


def find_mirror_pose_problems(data: Mapping[str, Any], chain: KinematicChain) -> list[str]:
    """Whether the tip's pose at mirrored joints is the mirrored pose."""
    mirror = build_mirror(data)
    if mirror is None or find_mirror_problems(data):
        return []
    joints = np.random.default_rng(0).uniform(-1.5, 1.5, (_POSES, len(mirror.signs)))
    found, wanted = chain.forward(mirror.joints(joints)), chain.forward(joints)
    off_m = np.abs(found[:, :3, 3] - wanted[:, :3, 3] @ MIRROR).max()
    off = min(
        np.abs(found[:, :3, :3] - MIRROR @ wanted[:, :3, :3] @ plane).max()
        for plane in _TOOL_PLANES
    )
    if off_m <= _TOLERANCE and off <= _TOLERANCE:
        return []
    return [
        f"mirror: with these signs and offsets the tip is up to {off_m:.3f} m from where the "
        f"mirror (y to -y in the base frame) shows it, its axes up to {off:.2f}; an arm without "
        "a symmetric build has no valid ones: leave mirror out"
    ]
