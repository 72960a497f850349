"""Judges the joint states, the URDF of the live robot and the clock."""

from __future__ import annotations

import numpy as np

from vla_ros.errors import UrdfError
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.check.cameras import judge_ages
from vla_ros.ros.check.files import MOST_RAD
from vla_ros.ros.check.finding import Finding, error, ok, or_ok, warning
from vla_ros.ros.check.listening import JOINTS, Heard, Listener
from vla_ros.ros.convert import state_from_msg
from vla_ros.urdf import UrdfJoint, read_joints

_ROUNDING_RAD = 1e-3


def check_clock(listener: Listener, heard: Heard) -> list[Finding]:
    """Whether time goes on."""
    if not listener.count_publishers("/clock"):
        return [ok("clock", "nobody publishes /clock: system time")]
    if not heard.clock_s:
        return [error("clock", "/clock is offered, but says nothing; unpause the simulation")]
    passed_s = heard.clock_s[-1] - heard.clock_s[0]
    if not passed_s > 0:
        at_s = heard.clock_s[-1]
        text = f"/clock stands still at {at_s:.3f} s: a paused simulation; the arm would hold"
        return [error("clock", text)]
    if passed_s < 0.2 * heard.seconds:
        slow = f"{passed_s / heard.seconds:.2f} of real time"
        return [warning("clock", f"/clock runs at {slow}; start vla_node with use_sim_time")]
    return [ok("clock", "/clock runs: start vla_node with use_sim_time:=true")]


def check_state(listener: Listener, robot: RobotConfig, heard: Heard) -> list[Finding]:
    """The joint states against the robot file."""
    item, topic = "joint states", robot.state.topic
    types = listener.types_of(topic)
    if not types:
        return [error(item, f"nobody publishes on {topic}; start joint_state_broadcaster")]
    if types != [JOINTS]:
        return [error(item, f"{topic} has type {', '.join(types)}; valid: {JOINTS}")]
    if not heard.states:
        problem = heard.state_problem
        text = f"{problem} (robot file, joints and gripper.joint)" if problem else ""
        return [error(item, text or f"{topic} is offered, but nothing arrived")]
    state = state_from_msg(heard.states[-1], robot)
    rate_hz = len(heard.states) / heard.seconds
    findings = judge_ages(item, heard.state_ages_s, robot.state.max_age_s)
    findings += _positions(item, robot, state.position_rad)
    if len(heard.states[-1].velocity) != len(heard.states[-1].name):
        text = "no velocities: an arm in motion is taken over as if it stood still"
        findings.append(warning(item, f"{text}; let the driver report them"))
    if rate_hz < 2.0 / robot.state.max_age_s:
        text = f"{rate_hz:.1f} Hz; at least {2.0 / robot.state.max_age_s:.0f} are needed"
        findings.append(error(item, text))
    order = _order(heard.states[-1].name, robot)
    return or_ok(findings, item, f"{rate_hz:.0f} Hz, all joints, inside their limits{order}")


def _positions(item: str, robot: RobotConfig, position_rad: np.ndarray) -> list[Finding]:
    worst = int(np.argmax(np.abs(position_rad)))
    if abs(position_rad[worst]) > MOST_RAD:
        text = f"{robot.joints[worst]} is at {position_rad[worst]:.1f}, no angle in radians"
        return [error(item, f"{text}: the driver reports degrees; it must report radians")]
    limits = robot.limits
    return [
        error(
            item,
            f"{name} is at {position_rad[i]:.3f} rad, outside its limits {limits.lower_rad[i]:.3f} "
            f"… {limits.upper_rad[i]:.3f}; move the arm inside by hand, or correct the URDF",
        )
        for i, name in enumerate(robot.joints)
        if not limits.lower_rad[i] - 0.01 <= position_rad[i] <= limits.upper_rad[i] + 0.01
    ]


def _order(names: list[str], robot: RobotConfig) -> str:
    ours = [name for name in names if name in robot.joints]
    return "" if tuple(ours) == robot.joints else " (in another order, which is mapped by name)"


def check_description(robot: RobotConfig, heard: Heard) -> list[Finding]:
    """The robot file's URDF and limits against those of the live robot."""
    item = "robot_description"
    if not heard.description:
        return [ok(item, "nobody publishes /robot_description: not compared")]
    try:
        live = read_joints(heard.description)
    except UrdfError as caught:
        return [error(item, str(caught))]
    findings = []
    for index, name in enumerate(robot.joints):
        if name not in live:
            moving = ", ".join(joint.name for joint in live.values() if joint.kind != "fixed")
            text = f"the live robot has no joint {name!r}; it has: {moving}"
            findings.append(error(item, f"{text} (robot file, joints)"))
        else:
            findings += _wider(item, robot, index, live[name])
    return or_ok(findings, item, "the robot file's limits lie inside the live robot's URDF")


def _wider(item: str, robot: RobotConfig, index: int, live: UrdfJoint) -> list[Finding]:
    limits, name = robot.limits, robot.joints[index]
    pairs = (
        ("lower limit", limits.lower_rad[index], live.lower_rad, -1),
        ("upper limit", limits.upper_rad[index], live.upper_rad, 1),
        ("velocity limit", limits.velocity_rad_s[index], live.velocity_rad_s, 1),
    )
    return [
        error(
            item,
            f"the {what} of {name} is {ours:.4f} in the robot file, wider than {theirs:.4f} in the "
            "live robot's URDF; use the live URDF in the robot file, or narrow limits",
        )
        for what, ours, theirs, sign in pairs
        if theirs is not None and sign * (ours - theirs) > _ROUNDING_RAD
    ]
