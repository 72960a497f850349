"""The robot file's `safety`: what stops the arm besides its joint limits. All of it is optional.

Part of `robot_config.py`, which builds this, and `robot_check.py`, which finds its problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vla_ros.datatypes import FloatArray

DEADMAN_MAX_AGE_S = 0.3


@dataclass(frozen=True, kw_only=True)
class DeadmanConfig:
    """A switch that somebody keeps pressed (std_msgs/Bool); one not heard of counts as released."""

    topic: str
    max_age_s: float = DEADMAN_MAX_AGE_S


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkspaceConfig:
    """The box that the tip stays in, in the base frame: corners of shape (3,), [m]."""

    lower_m: FloatArray
    upper_m: FloatArray


@dataclass(frozen=True, kw_only=True)
class FollowingConfig:
    """When an arm counts as not following its commands.

    Attributes:
        max_error_rad: How far a joint may be from everything commanded in the last `within_s`.
        max_error_m: How far the tip may be, in place of the joints, where MoveIt Servo moves it: a
            twist does not say which posture an arm of seven joints shall take.
        within_s: How much an arm may lag behind.
        fault_after_s: Time of holding after which it becomes a fault.
    """

    max_error_rad: float = 0.2
    max_error_m: float = 0.1
    within_s: float = 0.5
    fault_after_s: float = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class SafetyConfig:
    """What stops the arm.

    Attributes:
        emergency_stop_topic: std_msgs/Bool, true when pressed; `None` without one.
        deadman: `None` without one.
        workspace: `None` leaves the tip to the joint limits.
        following: When an arm counts as not following.
    """

    emergency_stop_topic: str | None = None
    deadman: DeadmanConfig | None = None
    workspace: WorkspaceConfig | None = None
    following: FollowingConfig = field(default_factory=FollowingConfig)


def build_safety(data: Mapping[str, Any]) -> SafetyConfig:
    """The `safety` of a checked robot file."""
    safety: Mapping[str, Any] = data.get("safety", {})
    corners = {key: np.array(v, np.float64) for key, v in safety.get("workspace", {}).items()}
    return SafetyConfig(
        emergency_stop_topic=safety.get("emergency_stop", {}).get("topic"),
        deadman=DeadmanConfig(**safety["deadman"]) if "deadman" in safety else None,
        workspace=WorkspaceConfig(**corners) if corners else None,
        following=FollowingConfig(**safety.get("following", {})),
    )


def find_safety_problems(data: Mapping[str, Any]) -> list[str]:
    """What the schema cannot see in `safety`, a sentence each."""
    box = data.get("safety", {}).get("workspace")
    if box is None or all(low < high for low, high in zip(*_corners(box), strict=True)):
        return []
    return [
        f"safety.workspace: lower_m is {box['lower_m']}, upper_m {box['upper_m']}; valid: each "
        "number of lower_m below that of upper_m (metres, in the base frame)"
    ]


def _corners(box: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    return box["lower_m"], box["upper_m"]
