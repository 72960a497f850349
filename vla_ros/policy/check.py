"""Does a policy fit a robot? Asked before anything moves. No torch here."""

from __future__ import annotations

from vla_ros.errors import CheckpointError
from vla_ros.policy_protocol import PolicySpec
from vla_ros.robot_config import GRIPPER, RobotConfig


def check_fits(spec: PolicySpec, robot: RobotConfig) -> None:
    """Return when a policy of `spec` can drive `robot`.

    Raises:
        CheckpointError: With everything that does not fit.
    """
    problems = [*_robot(spec, robot), *_cameras(spec, robot)]
    problems += _names("state", spec.state_names, robot)
    problems += _names("action", spec.action_names, robot)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise CheckpointError(
            f"the checkpoint does not fit robot file {robot.path}: "
            f"{len(problems)} problem(s)\n{lines}"
        )


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
