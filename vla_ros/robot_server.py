"""The robot file's `policy_server`: the policy of a server that says nothing of it, as openpi's.

Part of `robot_config.py`, which builds this, and `robot_check.py`, which finds its problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PolicyServerConfig:
    """What the policy gives, and under which keys its server wants an observation.

    Attributes:
        horizon: Steps in a chunk.
        step_s: Time between two steps.
        height_px: Height of the pictures that are sent.
        width_px: Width of the pictures that are sent.
        resize: How a picture gets there: `letterbox` or `crop`.
        images: Key of each camera that the policy looks through, by its name in the robot file.
        prompt: Key of the instruction.
        state: Key of joints and gripper opening in one array; `None`: not sent.
        joints: Key of the joints alone; `None`: not sent.
        gripper: Key of the gripper opening alone; `None`: not sent.
    """

    horizon: int
    step_s: float
    height_px: int
    width_px: int
    images: Mapping[str, str]
    resize: str = "letterbox"
    prompt: str = "prompt"
    state: str | None = None
    joints: str | None = None
    gripper: str | None = None


def find_server_problems(data: Mapping[str, Any]) -> list[str]:
    """What the schema cannot see in `policy_server`, a sentence each."""
    server = data.get("policy_server", {})
    cameras = data.get("cameras", server.get("images", {}))
    problems = [
        f"policy_server.images.{name}: there is no such camera; valid: {', '.join(cameras)}"
        for name in server.get("images", {})
        if name not in cameras
    ]
    if "gripper" in server and "gripper" not in data:
        problems.append("policy_server.gripper: the robot has no gripper; remove it")
    keys = [server[name] for name in ("prompt", "state", "joints", "gripper") if name in server]
    keys += server.get("images", {}).values()
    twice = {key for key in keys if keys.count(key) > 1}
    return problems + [f"policy_server: the key {key!r} is used twice" for key in sorted(twice)]
