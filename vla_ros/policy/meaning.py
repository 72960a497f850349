"""A policy whose actions mean something else, behind the face of one that gives joint targets.

The robot file's `actions` say what the numbers mean. Deltas count from the state of the observation
that the chunk came from, each step by itself: not from the step before, and not from where the arm
has got to meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vla_ros.datatypes import ActionChunk, ActionPrefix, FloatArray, Observation
from vla_ros.errors import ActionError, CheckpointError
from vla_ros.inverse_kinematics import solve_pose
from vla_ros.policy_protocol import Policy, PolicySpec
from vla_ros.robot_config import GRIPPER, RobotConfig
from vla_ros.robot_outputs import TIP_MEANINGS
from vla_ros.rotations import ROTATION_WIDTHS, matrix_from

_NATIVE = ("absolute_joint_position", "open_fraction")
_TIP_NAMES = {
    "rotation_vector": ("rx", "ry", "rz"),
    "quaternion_xyzw": ("qx", "qy", "qz", "qw"),
    "rotation_6d": ("r11", "r21", "r31", "r12", "r22", "r32"),
}


def action_names(robot: RobotConfig) -> tuple[str, ...]:
    """Names of the entries that a policy's action has under the robot file's `meaning`."""
    if robot.arm_sink.meaning not in TIP_MEANINGS:
        return robot.action_names
    names = ("x", "y", "z", *_TIP_NAMES[robot.arm_sink.rotation])
    return names if robot.gripper is None else (*names, GRIPPER)


def joint_spec(spec: PolicySpec, robot: RobotConfig) -> PolicySpec:
    """The specification of the policy as it is after the conversion.

    Raises:
        CheckpointError: Its actions are not what the robot file says they mean.
    """
    arm = robot.arm_sink
    if _meanings(robot) != _NATIVE:  # a prefix is in joint targets, and not converted back
        spec = replace(spec, prefix_steps=0)
    if spec.action_meaning != arm.meaning:
        raise CheckpointError(
            f"the policy's actions mean {spec.action_meaning}, robot file {robot.path.name} says "
            f"actions.arm.meaning: {arm.meaning}; set it to what the policy gives"
        )
    if arm.meaning not in TIP_MEANINGS:
        return spec
    if len(spec.action_names) != len(action_names(robot)):
        raise CheckpointError(
            f"the policy's actions have {len(spec.action_names)} entries "
            f"({', '.join(spec.action_names)}); {arm.meaning} with rotation {arm.rotation} has "
            f"{len(action_names(robot))}: {', '.join(action_names(robot))}"
        )
    return replace(spec, action_names=robot.action_names)


def with_joint_actions(policy: Policy, robot: RobotConfig) -> Policy:
    """`policy` itself when it gives joint targets already, else behind a conversion.

    Raises:
        CheckpointError: See `joint_spec`.
    """
    spec = joint_spec(policy.spec, robot)
    return policy if _meanings(robot) == _NATIVE else JointActionPolicy(policy, spec, robot)


class JointActionPolicy:
    """Converts every chunk to joint targets, in the thread that plans."""

    def __init__(self, policy: Policy, spec: PolicySpec, robot: RobotConfig) -> None:
        self.spec = spec
        self._policy = policy
        self._robot = robot

    def reset(self) -> None:
        """Pass it on."""
        self._policy.reset()

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """Plan from `observation`; no prefix, which would be in joints, is passed on.

        Raises:
            ActionError: The chunk has a wrong shape, a rotation that is none, or a pose that the
                arm cannot reach.
        """
        chunk = self._policy.infer(observation)
        actions = to_joint_actions(chunk.actions, observation, self._robot)
        return replace(chunk, actions=actions)


def to_joint_actions(
    actions: FloatArray, observation: Observation, robot: RobotConfig
) -> FloatArray:
    """Joint targets and gripper openings (T, A) for the actions of a policy.

    Args:
        actions: Shape (T, n), as the robot file's meanings say; n is that of `action_names`.
        observation: The one that the actions were planned from.
        robot: The arm.

    Raises:
        ActionError: See `JointActionPolicy.infer`.
    """
    values = np.asarray(actions, np.float64)
    names = action_names(robot)
    if values.ndim != 2 or values.shape[1] != len(names) or not np.isfinite(values).all():
        raise ActionError(
            f"the policy's actions have shape {values.shape}, or are not finite; valid: "
            f"(T, {len(names)}) finite numbers, for {', '.join(names)}"
        )
    width = len(names) - (robot.gripper is not None)
    joints = _CONVERSIONS[robot.arm_sink.meaning](values[:, :width], observation, robot)
    gripper = values[:, width:]
    if _gripper_meaning(robot) == "closed_fraction":
        gripper = 1.0 - gripper
    return np.concatenate([joints, gripper], axis=1)


def _meanings(robot: RobotConfig) -> tuple[str, str]:
    return robot.arm_sink.meaning, _gripper_meaning(robot)


def _gripper_meaning(robot: RobotConfig) -> str:
    return "open_fraction" if robot.gripper_sink is None else robot.gripper_sink.meaning


def _keep(values: FloatArray, observation: Observation, robot: RobotConfig) -> FloatArray:
    return values


def _add_to_state(values: FloatArray, observation: Observation, robot: RobotConfig) -> FloatArray:
    return np.asarray(observation.state.position_rad + values, np.float64)


def _from_tip_poses(values: FloatArray, observation: Observation, robot: RobotConfig) -> FloatArray:
    """Solve pose by pose, each from the solution before, so that the arm keeps its posture."""
    limits = robot.limits.lower_rad, robot.limits.upper_rad
    start = observation.state.position_rad
    tip = robot.chain.forward(start)
    joints = []
    for row in values:
        start = solve_pose(robot.chain, _pose(row, tip, robot), start, limits)
        joints.append(start)
    return np.array(joints).reshape(len(values), len(robot.joints))


def _pose(row: FloatArray, tip: FloatArray, robot: RobotConfig) -> FloatArray:
    """The pose in the base frame that a row (3 + n,) asks for, `tip` being the measured one."""
    arm = robot.arm_sink
    said = np.eye(4)
    said[:3, 3] = row[:3]
    said[:3, :3] = matrix_from(arm.rotation, row[3 : 3 + ROTATION_WIDTHS[arm.rotation]])
    if arm.meaning == "absolute_tip_pose":
        return said
    if arm.frame == "tip":
        return np.asarray(tip @ said, np.float64)
    # In the base frame the tip is moved and turned about itself, not about the base.
    pose = tip.copy()
    pose[:3, 3] += said[:3, 3]
    pose[:3, :3] = said[:3, :3] @ tip[:3, :3]
    return pose


_CONVERSIONS: dict[str, Callable[[FloatArray, Observation, RobotConfig], FloatArray]] = {
    "absolute_joint_position": _keep,
    "delta_joint_position": _add_to_state,
    "absolute_tip_pose": _from_tip_poses,
    "delta_tip_pose": _from_tip_poses,
}
