"""Whether a policy is for the cameras and joints of a robot."""

from __future__ import annotations

from vla_ros.errors import CheckpointError
from vla_ros.policy_protocol import PolicySpec
from vla_ros.robot_config import RobotConfig


def check_names(robot: RobotConfig, spec: PolicySpec) -> None:
    """Check it.

    Raises:
        CheckpointError: The policy is for other cameras or joints.
    """
    cameras = [camera.name for camera in spec.cameras]
    unknown = [name for name in cameras if name not in robot.cameras]
    if unknown:
        raise CheckpointError(
            f"the policy looks through the cameras {', '.join(unknown)}, which robot file "
            f"{robot.path.name} lacks; it has: {', '.join(robot.cameras)}"
        )
    if tuple(spec.action_names) != robot.action_names:
        raise CheckpointError(
            f"the policy's actions are {', '.join(spec.action_names)}; those of robot file "
            f"{robot.path.name} are {', '.join(robot.action_names)}"
        )
