"""Does a policy fit a robot? Asked before anything moves. No torch here."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.errors import CheckpointError
from vla_ros.kinematics import KinematicChain
from vla_ros.policy_protocol import PolicySpec
from vla_ros.robot_config import GRIPPER, RobotConfig

# Of metres and of entries of unit vectors: rounding in a URDF stays below, another arm above.
_CHAIN_TOLERANCE = 1e-4
_ROUNDING_S = 1e-6


def check_fits(spec: PolicySpec, robot: RobotConfig) -> None:
    """Return when a policy of `spec` can drive `robot`.

    Raises:
        CheckpointError: With everything that does not fit.
    """
    problems = find_misfits(spec, robot)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise CheckpointError(
            f"the checkpoint does not fit robot file {robot.path}: "
            f"{len(problems)} problem(s)\n{lines}"
        )


def find_misfits(spec: PolicySpec, robot: RobotConfig) -> list[str]:
    """Everything of `spec` that does not fit `robot`, a sentence each."""
    problems = [*_robot(spec, robot), *_cameras(spec, robot)]
    problems += _names("state", spec.state_names, robot)
    problems += _names("action", spec.action_names, robot)
    return [*problems, *_chain(spec, robot), *_chunks(spec, robot), *_joining(spec, robot)]


def _robot(spec: PolicySpec, robot: RobotConfig) -> list[str]:
    if spec.robot == robot.robot:
        return []
    return [f"robot: the checkpoint was trained for {spec.robot!r}, the file is of {robot.robot!r}"]


def _cameras(spec: PolicySpec, robot: RobotConfig) -> list[str]:
    return [
        f"cameras: the checkpoint looks through {camera.name!r}, the robot file has: "
        f"{', '.join(robot.cameras)}"
        for camera in spec.cameras
        if camera.name not in robot.cameras
    ]


def _names(what: str, names: tuple[str, ...], robot: RobotConfig) -> list[str]:
    if names == robot.action_names:
        return []
    problems = []
    if (GRIPPER in names) != (robot.gripper is not None):
        with_without = "with" if GRIPPER in names else "without"
        problems.append(
            f"gripper: the checkpoint's {what} is {with_without} a gripper, the robot file's is not"
        )
    joints = tuple(name for name in names if name != GRIPPER)
    if joints != robot.joints:
        problems.append(
            f"joints: the checkpoint's {what} is {', '.join(joints)}; "
            f"the robot file lists, in order: {', '.join(robot.joints)}"
        )
    return problems or [f"{what}: the gripper must come last, got {', '.join(names)}"]


def _chain(spec: PolicySpec, robot: RobotConfig) -> list[str]:
    # Another number of joints is told by their names.
    if spec.chain is None or len(spec.chain.axes) != len(robot.joints):
        return []
    parts = zip((*robot.joints, "the tip"), _parts(spec.chain), _parts(robot.chain), strict=True)
    elsewhere = [
        name for name, one, other in parts if not np.abs(one - other).max() <= _CHAIN_TOLERANCE
    ]
    if not elsewhere:
        return []
    return [
        f"kinematics: {', '.join(elsewhere)} stand elsewhere or turn about another axis in the "
        "robot file's URDF than in the training's; use the URDF and tip_link of the training"
    ]


def _parts(chain: KinematicChain) -> list[FloatArray]:
    """Numbers of each joint, then of the tip."""
    joints = zip(chain.origins, chain.axes, strict=True)
    return [*(np.append(origin, axis) for origin, axis in joints), chain.tip]


def _chunks(spec: PolicySpec, robot: RobotConfig) -> list[str]:
    execute_s, chunk_s = robot.chunks.execute_s, spec.horizon * spec.step_s
    if execute_s < chunk_s - _ROUNDING_S:
        return []
    return [
        f"chunks: execute_s is {execute_s:g} s, but a chunk of the checkpoint ends after "
        f"{chunk_s:g} s ({spec.horizon} steps of {spec.step_s:g} s); lower chunks.execute_s in "
        "the robot file, or train with a longer --horizon"
    ]


def _joining(spec: PolicySpec, robot: RobotConfig) -> list[str]:
    if robot.chunks.join != "rtc" or spec.prefix_steps:
        return []
    return [
        "chunks: join is rtc, but this policy cannot continue a plan that runs; valid for it: "
        "latest, blend, ensemble. One that can was trained with --rtc-delay-steps or --head "
        "diffusion, and the robot file's actions mean absolute_joint_position and open_fraction"
    ]
