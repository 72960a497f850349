"""The robot file's `actions`: what the policy's actions mean, and how the drivers are told.

Part of `robot_config.py`, which builds these, and `robot_check.py`, which finds their problems.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JOINT_MEANINGS = ("absolute_joint_position", "delta_joint_position")
TIP_MEANINGS = ("absolute_tip_pose", "delta_tip_pose")
SERVO_SINKS = ("servo_twist", "servo_pose")
GRIPPER_ACTIONS = ("gripper_command", "parallel_gripper_command")
WITH_ARM = "with_arm"
"""The finger joint is one more joint of the arm's controller."""

# MoveIt Servo drops what is older than 0.1 s; three commands in that time let one be lost.
SERVO_MIN_HZ = 30.0


@dataclass(frozen=True, kw_only=True)
class Hysteresis:
    """A gripper that is told to open or to close, never half: on a change, and not too often.

    Attributes:
        open_above: Opening in [0, 1] above which a closed gripper is told to open.
        close_below: Opening below which an open gripper is told to close.
        dwell_s: Shortest time between two changes.
    """

    open_above: float = 0.6
    close_below: float = 0.4
    dwell_s: float = 0.3


@dataclass(frozen=True, kw_only=True)
class ArmSinkConfig:
    """What the arm's actions mean, and where commands go.

    Attributes:
        meaning: Of the policy's actions: one of `JOINT_MEANINGS` or `TIP_MEANINGS`.
        sink: Kind of driver.
        topic: Topic of the commands.
        rotation: How a tip pose says its rotation.
        frame: Frame of `delta_tip_pose`: `base` or `tip`.
        joints: Joints of the controller in its own order, the finger among them with `with_arm`.
        switch: Servo's service that chooses the type of command.
        switch_by: `service`, or `parameter` where moveit_msgs is not installed.
    """

    meaning: str
    sink: str
    topic: str
    joints: tuple[str, ...]
    rotation: str = "rotation_vector"
    frame: str = "base"
    switch: str = ""
    switch_by: str = "service"


@dataclass(frozen=True, kw_only=True)
class GripperSinkConfig:
    """What the gripper's action means, and where commands go.

    Attributes:
        meaning: `open_fraction` (1 is open) or `closed_fraction` (1 is closed).
        sink: Kind of driver.
        topic: Topic or action name; empty with `with_arm`.
        max_effort: For the gripper actions [N]; 0 leaves it to the driver.
        hysteresis: `None` streams the opening as it is.
    """

    meaning: str
    sink: str
    topic: str = ""
    max_effort: float = 0.0
    hysteresis: Hysteresis | None = None


def build_arm_sink(data: Mapping[str, Any]) -> ArmSinkConfig:
    """The arm's sink of a checked robot file."""
    arm: dict[str, Any] = dict(data["actions"]["arm"])
    arm["joints"] = tuple(arm.get("joints", _driven(data)))
    if arm["sink"] in SERVO_SINKS:
        # Servo's topics and services stand beside each other, under its node's name.
        arm.setdefault("switch", f"{arm['topic'].rpartition('/')[0]}/switch_command_type")
    return ArmSinkConfig(**arm)


def build_gripper_sink(data: Mapping[str, Any]) -> GripperSinkConfig | None:
    """The gripper's sink of a checked robot file; `None` for an arm without a gripper."""
    gripper: dict[str, Any] = dict(data["actions"].get("gripper", {}))
    if not gripper:
        return None
    # An action is sent on a change only, so it needs to know what a change is.
    is_action = gripper["sink"] in GRIPPER_ACTIONS
    values = gripper.pop("hysteresis", {} if is_action else None)
    hysteresis = None if values is None else Hysteresis(**values)
    return GripperSinkConfig(**gripper, hysteresis=hysteresis)


def find_output_problems(data: Mapping[str, Any]) -> list[str]:
    """What the schema cannot see in `actions`, a sentence each."""
    if not {"actions", "joints", "tick_hz"} <= data.keys():
        return []
    arm = data["actions"]["arm"]
    problems = _servo_problems(arm, data["tick_hz"]) + _meaning_problems(arm)
    wanted = set(_driven(data))
    if set(arm.get("joints", wanted)) != wanted:
        problems.append(
            f"actions.arm.joints: {', '.join(arm['joints'])}; valid: all of "
            f"{', '.join(_driven(data))}, in the order of the controller's parameter `joints`"
        )
    problems += _gripper_problems(data["actions"].get("gripper", {}), arm)
    return problems + _gripper_velocity_problems(data)


def _driven(data: Mapping[str, Any]) -> list[str]:
    """Joints that the arm's controller drives."""
    with_arm = data["actions"].get("gripper", {}).get("sink") == WITH_ARM and "gripper" in data
    return [*data["joints"], data["gripper"]["joint"]] if with_arm else data["joints"]


def _servo_problems(arm: Mapping[str, Any], tick_hz: float) -> list[str]:
    if arm["sink"] in SERVO_SINKS:
        return (
            [
                f"tick_hz: {tick_hz:g} with sink {arm['sink']}; valid: {SERVO_MIN_HZ:g} or more, "
                "because MoveIt Servo drops commands older than 0.1 s"
            ]
            if tick_hz < SERVO_MIN_HZ
            else []
        )
    return [
        f"actions.arm.{key}: has a meaning with {' or '.join(SERVO_SINKS)} only, "
        f"the sink is {arm['sink']}"
        for key in ("switch", "switch_by")
        if key in arm
    ]


def _meaning_problems(arm: Mapping[str, Any]) -> list[str]:
    meaning = arm["meaning"]
    used = {"rotation": meaning in TIP_MEANINGS, "frame": meaning == "delta_tip_pose"}
    return [
        f"actions.arm.{key}: has no meaning with {meaning}; remove it"
        for key, is_used in used.items()
        if key in arm and not is_used
    ]


def _gripper_problems(gripper: Mapping[str, Any], arm: Mapping[str, Any]) -> list[str]:
    problems = []
    with_arm = gripper.get("sink") == WITH_ARM
    if gripper and with_arm == ("topic" in gripper):
        rule = f"none with {WITH_ARM}" if with_arm else "the driver's topic or action"
        problems.append(f"actions.gripper.topic: got {gripper.get('topic')}; valid: {rule}")
    if with_arm and arm["sink"] in SERVO_SINKS:
        problems.append(
            f"actions.gripper.sink: {WITH_ARM} cannot go with {arm['sink']}, which moves the arm "
            "alone; give the gripper a driver of its own"
        )
    if gripper.get("topic", "").strip("/") == arm["topic"].strip("/"):
        problems.append(
            f"actions.gripper.topic: {gripper['topic']} is the arm's, too; valid: the gripper's "
            f"own, or sink {WITH_ARM}"
        )
    values = vars(Hysteresis()) | gripper.get("hysteresis", {})
    if values["close_below"] > values["open_above"]:
        problems.append(
            f"actions.gripper.hysteresis: close_below {values['close_below']} is above open_above "
            f"{values['open_above']}; valid: at most that"
        )
    return problems


def _gripper_velocity_problems(data: Mapping[str, Any]) -> list[str]:
    """A gripper that is told to open or to close goes as fast as its driver lets it."""
    gripper = data["actions"].get("gripper", {})
    is_two_way = gripper.get("sink") in GRIPPER_ACTIONS or "hysteresis" in gripper
    if not is_two_way or "velocity_m_s" not in data.get("gripper", {}):
        return []
    return [
        "gripper.velocity_m_s: has no effect on a gripper action or with hysteresis, which send "
        "where to and leave the speed to the driver; remove it, and limit the driver"
    ]
