"""The robot file's `lerobot`: what the numbers of a LeRobot policy are; it does not say itself.

Part of `robot_config.py`, which builds this, and `robot_check.py`, which finds its problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.robot_outputs import JOINT_MEANINGS

UNITS = ("radians", "degrees", "percent")
"""Of the joints; `percent` runs from -100 at a joint's lower limit to 100 at its upper one."""
_GRIPPER = "gripper"


@dataclass(frozen=True, kw_only=True)
class LeRobotConfig:
    """How a LeRobot policy sees the robot.

    Attributes:
        step_s: Time between two steps: 1 / fps of the dataset it was trained on.
        images: Key of each camera that it looks through, by its name in the robot file.
        units: Of its joints, one of `UNITS`.
        state: What the entries of `observation.state` are: joints and `gripper`, in its order.
        actions: What the entries of `action` are, in its order; `None` where they are no joints.
        gripper_closed: Its number for a closed gripper; unused without a gripper.
        gripper_open: Its number for an open gripper.
        resize: How a picture gets to the size it wants: `letterbox` or `crop`.
    """

    step_s: float
    images: Mapping[str, str]
    units: str
    state: tuple[str, ...]
    actions: tuple[str, ...] | None
    gripper_closed: float = 0.0
    gripper_open: float = 1.0
    resize: str = "letterbox"


def build_lerobot(data: Mapping[str, Any]) -> LeRobotConfig | None:
    """The `lerobot` of a checked robot file; `None` where there is none."""
    if "lerobot" not in data:
        return None
    said, names = data["lerobot"], _names(data)
    gripper = said.get("gripper", {"closed": 0.0, "open": 1.0})
    has_joint_actions = data["actions"]["arm"]["meaning"] in JOINT_MEANINGS
    return LeRobotConfig(
        step_s=float(said["step_s"]),
        images=said["images"],
        units=said["units"],
        state=tuple(said.get("state", names)),
        actions=tuple(said.get("actions", names)) if has_joint_actions else None,
        gripper_closed=float(gripper["closed"]),
        gripper_open=float(gripper["open"]),
        resize=said.get("resize", LeRobotConfig.resize),
    )


def find_lerobot_problems(data: Mapping[str, Any]) -> list[str]:
    """What the schema cannot see in `lerobot`, a sentence each."""
    said = data.get("lerobot")
    if said is None:
        return []
    cameras = data.get("cameras", said["images"])
    problems = [
        f"lerobot.images.{name}: there is no such camera; valid: {', '.join(cameras)}"
        for name in said["images"]
        if name not in cameras
    ]
    if len(set(said["images"].values())) < len(said["images"]):
        problems.append("lerobot.images: two cameras have the same key")
    if "joints" in data:
        problems += [
            f"lerobot.{key}: has {', '.join(said[key])}; valid: these once each, in the policy's "
            f"order: {', '.join(_names(data))}"
            for key in ("state", "actions")
            if key in said and sorted(said[key]) != sorted(_names(data))
        ]
    return problems + _gripper_problems(data, said) + _meaning_problems(data, said)


def _names(data: Mapping[str, Any]) -> list[str]:
    return [*data["joints"], *([_GRIPPER] if "gripper" in data else [])]


def _gripper_problems(data: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    if ("gripper" in said) != ("gripper" in data):
        cure = "remove it" if "gripper" in said else "say its numbers: {closed: 0, open: 100}"
        has = "has a" if "gripper" in data else "has no"
        return [f"lerobot.gripper: the robot {has} gripper; {cure}"]
    if "gripper" in said and said["gripper"]["closed"] == said["gripper"]["open"]:
        return [f"lerobot.gripper: closed and open are both {said['gripper']['open']}"]
    return []


def _meaning_problems(data: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    actions = data.get("actions", {})
    problems = []
    if actions.get(_GRIPPER, {}).get("meaning") == "closed_fraction":
        problems.append(
            "actions.gripper.meaning: closed_fraction does not go with lerobot, whose "
            "gripper.closed and gripper.open say it; set open_fraction"
        )
    meaning = actions.get("arm", {}).get("meaning")
    if meaning is not None and meaning not in JOINT_MEANINGS and "actions" in said:
        problems.append(
            f"lerobot.actions: {meaning} has an order of its own (docs/robots.md); remove it"
        )
    return problems
