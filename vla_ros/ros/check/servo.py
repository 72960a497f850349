"""Judges MoveIt Servo: its command type can be chosen, and it moves the link that we mean."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import UrdfError
from vla_ros.inverse_kinematics import pose_error
from vla_ros.kinematics import KinematicChain
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.check.finding import Finding, error, ok, warning
from vla_ros.ros.check.listening import Heard, Listener
from vla_ros.urdf import UrdfJoint, chain_to, expand, read_joints

_TIP = "MoveIt Servo's tip"
_SAME_M, _SAME_RAD = 1e-3, 1e-2


def check_servo(listener: Listener, robot: RobotConfig, heard: Heard) -> list[Finding]:
    """Servo's service, and the tip of its move group against `tip_link`."""
    arm = robot.arm_sink
    node = arm.switch.rpartition("/")[0]
    name = arm.switch if arm.switch_by == "service" else f"{node}/set_parameters"
    return [_command_type(listener, name), _tip(listener, robot, heard.semantic, node)]


def _command_type(listener: Listener, name: str) -> Finding:
    services = {service for service, _ in listener.get_service_names_and_types()}
    if listener.resolve_service_name(name) in services:
        return ok("MoveIt Servo", f"{name} is there: the command type can be chosen")
    text = f"{name} is not offered: without a command type Servo accepts nothing; start Servo"
    return error("MoveIt Servo", f"{text}, or correct actions.arm.switch")


def _tip(listener: Listener, robot: RobotConfig, semantic: str, node: str) -> Finding:
    if not semantic:
        text = "nobody publishes /robot_description_semantic: not compared with tip_link"
        return ok(_TIP, f"{text} {robot.tip_link}, which must be Servo's")
    try:
        tips = _tips(semantic)
    except ElementTree.ParseError as caught:
        return error(_TIP, f"/robot_description_semantic is no valid XML: {caught}")
    joints = read_joints(expand(robot.urdf_path))
    apart = {group: _apart(robot, joints, tip) for group, tip in tips.items()}
    found = {group: twist for group, twist in apart.items() if twist is not None}
    if len(found) > 1:
        group = listener.parameter(node, "moveit_servo.move_group_name")
        found = {group: found[group]} if group in found else found
    if not found:
        groups = ", ".join(f"{group} to {tip}" for group, tip in tips.items()) or "no chain"
        text = f"no group of the SRDF is a chain of the robot file's joints; it has: {groups}"
        return warning(_TIP, f"{text}. Servo must move the link {robot.tip_link}")
    return _compared(robot, found, tips)


def _compared(robot: RobotConfig, found: dict[str, FloatArray], tips: dict[str, str]) -> Finding:
    """Of the groups that may be Servo's, one is enough that has our tip."""
    for group, twist in found.items():
        if np.abs(twist[:3]).max() < _SAME_M and np.abs(twist[3:]).max() < _SAME_RAD:
            return ok(_TIP, f"{tips[group]} of group {group}, as tip_link {robot.tip_link}")
    group, twist = next(iter(found.items()))
    away_mm, turn_deg = 1e3 * np.linalg.norm(twist[:3]), np.degrees(np.linalg.norm(twist[3:]))
    text = f"Servo moves {tips[group]}, the tip of group {group}, which is {away_mm:.0f} mm and "
    text += f"{turn_deg:.0f} degrees from tip_link {robot.tip_link}: another point would go where "
    return error(_TIP, f"{text}the policy means; correct tip_link, or the group in the SRDF")


def _tips(semantic: str) -> dict[str, str]:
    """Tip link by group, of the groups of an SRDF that are chains."""
    groups = ElementTree.fromstring(semantic).findall("group")
    chains = {group.get("name", ""): group.find("chain") for group in groups}
    return {name: chain.get("tip_link", "") for name, chain in chains.items() if chain is not None}


def _apart(robot: RobotConfig, joints: dict[str, UrdfJoint], tip: str) -> FloatArray | None:
    """From our tip to `tip` [m], [rad], (6,); `None` when our joints do not lead there."""
    try:
        chain = KinematicChain.from_joints(chain_to(joints, tip), robot.joints)
    except UrdfError:
        return None
    return pose_error(chain.tip, robot.chain.tip)
