"""The robot file and the checkpoint, against the URDF and each other. No ROS here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import CheckpointError, NodeError, RobotFileError, VlaError
from vla_ros.policy.check import find_misfits
from vla_ros.policy.checkpoint import Checkpoint, read_checkpoint, read_weights
from vla_ros.policy.meaning import joint_spec
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.ros.check.finding import Finding, error, ok, or_ok, warning
from vla_ros.ros.gripper_sinks import ACTION_TYPES
from vla_ros.ros.optional_types import load_type

# Beyond it an angle is no position of an arm's joint: some turn twice round at most.
MOST_RAD = 2.2 * np.pi


def check_robot_file(path: Path) -> tuple[list[Finding], RobotConfig | None]:
    """The robot file; `None` when it cannot be used."""
    try:
        robot = load_robot(path)
    except RobotFileError as caught:
        return [error("robot file", text) for text in caught.problems], None
    gripper = "no gripper" if robot.gripper is None else f"gripper {robot.gripper.joint}"
    text = f"{path.name}: {robot.robot}, {len(robot.joints)} joints, {gripper}"
    found = [ok("robot file", text), ok("URDF", f"{robot.urdf_path.name}: limits, chain, gripper")]
    return found + check_packages(robot), robot


def check_packages(robot: RobotConfig) -> list[Finding]:
    """Message packages that the outputs need and that are not everywhere."""
    needed = []
    if robot.arm_sink.sink in SERVO_SINKS and robot.arm_sink.switch_by == "service":
        needed.append("moveit_msgs/srv/ServoCommandType")
    if robot.gripper_sink is not None and robot.gripper_sink.sink in ACTION_TYPES:
        needed.append(ACTION_TYPES[robot.gripper_sink.sink])
    findings = []
    for name in needed:
        try:
            load_type(name)
        except NodeError as missing:
            findings.append(error("message packages", str(missing)))
    return findings


def check_checkpoint(folder: Path, robot: RobotConfig) -> tuple[list[Finding], Checkpoint | None]:
    """The checkpoint against the robot file; `None` when it cannot be read."""
    try:
        checkpoint = read_checkpoint(folder)
    except CheckpointError as caught:
        return [error("checkpoint", str(caught))], None
    return [
        *_weights(folder),
        *_fit(checkpoint, robot),
        *_meaning(checkpoint, robot),
        *_data(checkpoint, robot),
    ], checkpoint


def _weights(folder: Path) -> list[Finding]:
    try:
        read_weights(folder)
    except CheckpointError as caught:
        return [error("checkpoint", str(caught))]
    return [ok("checkpoint", f"{folder.name}: weights and normalisation statistics are whole")]


def _fit(checkpoint: Checkpoint, robot: RobotConfig) -> list[Finding]:
    misfits = find_misfits(joint_names(checkpoint, robot), robot)
    findings = [error("checkpoint and robot file", text) for text in misfits]
    spec = checkpoint.spec
    chunk = f"chunks of {spec.horizon * spec.step_s:g} s"
    text = f"robot, cameras, joints in order, gripper and kinematics agree; {chunk}"
    return or_ok(findings, "checkpoint and robot file", text)


def joint_names(checkpoint: Checkpoint, robot: RobotConfig):
    """The specification as the loop sees it; as it is when the meanings do not agree."""
    try:
        return joint_spec(checkpoint.spec, robot)
    except CheckpointError:
        return checkpoint.spec


def _meaning(checkpoint: Checkpoint, robot: RobotConfig) -> list[Finding]:
    try:
        joint_spec(checkpoint.spec, robot)
    except VlaError as caught:
        return [error("actions", str(caught))]
    return [ok("actions", f"{robot.arm_sink.meaning} [rad], sent as {robot.arm_sink.sink}")]


def _data(checkpoint: Checkpoint, robot: RobotConfig) -> list[Finding]:
    """What the training data did, as far as the statistics tell, against the limits."""
    normalizer, count = checkpoint.normalizer, len(robot.joints)
    if len(normalizer.feature_mean) < count or normalizer.delta_mean.shape[1] != count:
        return []  # another number of joints is told already
    mean, std = normalizer.feature_mean[:count], normalizer.feature_std[:count]
    reach = np.abs(mean) + 2 * std
    if (reach > MOST_RAD).any():
        return [error("data and limits", _degrees(robot.joints, reach))]
    span_s = checkpoint.spec.horizon * checkpoint.spec.step_s
    delta = np.abs(normalizer.delta_mean[-1]) + 2 * normalizer.delta_std[-1]
    findings = _positions(mean, std, robot) + _speeds(delta / span_s, robot)
    text = "the training's positions and speeds lie inside the limits"
    return or_ok(findings, "data and limits", text)


def _positions(mean: FloatArray, std: FloatArray, robot: RobotConfig) -> list[Finding]:
    lower, upper = robot.limits.lower_rad, robot.limits.upper_rad
    findings = []
    for i, name in enumerate(robot.joints):
        did = f"{name} was about {mean[i]:.2f} ± {std[i]:.2f} rad in the training data"
        limits = f"its limits are {lower[i]:.2f} … {upper[i]:.2f}"
        if not lower[i] <= mean[i] <= upper[i]:
            wrong = f"{did}; {limits}: another zero, sign, order of joints or arm?"
            findings.append(error("data and limits", wrong))
        elif not lower[i] <= mean[i] - std[i] <= mean[i] + std[i] <= upper[i]:
            findings.append(warning("data and limits", f"{did}; {limits}: motions will be cut off"))
    return findings


def _speeds(speed_rad_s: FloatArray, robot: RobotConfig) -> list[Finding]:
    limits = robot.limits.velocity_rad_s
    return [
        warning(
            "data and limits",
            f"{name} moved at {speed_rad_s[i]:.2f} rad/s and more in the training data, the limit "
            f"is {limits[i]:.2f}: the arm will lag behind the policy (limits.velocity_scale)",
        )
        for i, name in enumerate(robot.joints)
        if speed_rad_s[i] > limits[i]
    ]


def _degrees(names: tuple[str, ...], reach: FloatArray) -> str:
    worst = int(np.argmax(reach))
    return (
        f"{names[worst]} reached {reach[worst]:.0f} in the training data, no angle in radians: the "
        "data are in degrees; convert the dataset to radians and train again"
    )
