"""What a robot expects of the policy behind a server, before and after the server has spoken."""

from __future__ import annotations

from vla_ros.errors import MessageError
from vla_ros.policy.check import check_fits
from vla_ros.policy.meaning import action_names, joint_spec
from vla_ros.policy.messages import ObservationKeys, keys_of
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_server import PolicyServerConfig

# Of a picture that is not sent anywhere.
_ANY_PX = 224


def expected_spec(robot: RobotConfig) -> PolicySpec:
    """A policy of which only its robot is known: all cameras, the longest chunk that is played."""
    return PolicySpec(
        robot=robot.robot,
        cameras=tuple(_camera(name, _ANY_PX, _ANY_PX, "letterbox") for name in robot.cameras),
        state_names=robot.action_names,
        action_names=action_names(robot),
        horizon=1,
        step_s=robot.chunks.expire_after_s,
        action_meaning=robot.arm_sink.meaning,
        prefix_steps=int(robot.chunks.join == "rtc"),  # the server will tell whether that is true
    )


def fitting_spec(said: PolicySpec | None, robot: RobotConfig) -> tuple[PolicySpec, ObservationKeys]:
    """The policy behind a server, and the keys of the server's observations.

    Args:
        said: What the server says of its policy; `None` when it says nothing.
        robot: The arm.

    Raises:
        CheckpointError: The policy is for another arm, or its chunks are too short.
        MessageError: Neither the server nor the robot file says what the policy is.
    """
    if said is not None:
        spec, keys = said, keys_of(said)
    elif robot.policy_server is not None:
        spec, keys = _described(robot.policy_server, robot), _keys(robot.policy_server)
    else:
        raise MessageError(
            "the policy server says nothing of its policy; describe it in robot file "
            f"{robot.path.name}, policy_server: horizon, step_s, height_px, width_px, images"
        )
    check_fits(joint_spec(spec, robot), robot)
    return spec, keys


def _described(server: PolicyServerConfig, robot: RobotConfig) -> PolicySpec:
    return PolicySpec(
        robot=robot.robot,
        cameras=tuple(
            _camera(name, server.height_px, server.width_px, server.resize)
            for name in server.images
        ),
        state_names=robot.action_names,
        action_names=action_names(robot),
        horizon=server.horizon,
        step_s=server.step_s,
        action_meaning=robot.arm_sink.meaning,
    )


def _keys(server: PolicyServerConfig) -> ObservationKeys:
    return ObservationKeys(
        images=server.images,
        prompt=server.prompt,
        state=server.state,
        joints=server.joints,
        gripper=server.gripper,
    )


def _camera(name: str, height_px: int, width_px: int, resize: str) -> CameraSpec:
    return CameraSpec(name=name, height_px=height_px, width_px=width_px, resize=resize)
