"""The robot file: one description of an arm for running, recording, training and checking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vla_ros.datatypes import FloatArray
from vla_ros.errors import RobotFileError
from vla_ros.kinematics import KinematicChain
from vla_ros.robot_check import CHUNK_DEFAULTS, find_problems
from vla_ros.robot_lerobot import LeRobotConfig, build_lerobot
from vla_ros.robot_mirror import MirrorConfig, build_mirror
from vla_ros.robot_outputs import (
    WITH_ARM,
    ArmSinkConfig,
    GripperSinkConfig,
    build_arm_sink,
    build_gripper_sink,
)
from vla_ros.robot_safety import SafetyConfig, build_safety
from vla_ros.robot_server import PolicyServerConfig
from vla_ros.urdf import UrdfJoint, chain_to, expand, read_joints

GRIPPER = "gripper"
# From open to closed, for a gripper in the arm's trajectory whose speed nobody says.
_GRIPPER_CHANGE_S = 1.0
JOINS = ("latest", "blend", "ensemble", "rtc")


@dataclass(frozen=True, kw_only=True, eq=False)
class JointLimits:
    """Limits of the arm joints, each of shape (J,), in the robot file's order."""

    lower_rad: FloatArray
    upper_rad: FloatArray
    velocity_rad_s: FloatArray
    acceleration_rad_s2: FloatArray
    jerk_rad_s3: FloatArray

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {values.tolist()}; valid: finite numbers"
            for name, values in vars(self).items()
            if not np.isfinite(values).all()
        ]
        if problems:
            raise RobotFileError("joint limits", problems)


@dataclass(frozen=True, kw_only=True)
class GripperConfig:
    """The gripper: its joint, and that joint's position when closed and when open.

    Attributes:
        velocity_m_s: How fast the joint is commanded at most; `None` leaves that to its driver.
            Like the positions in rad for a joint that turns.
    """

    joint: str
    closed_m: float
    open_m: float
    velocity_m_s: float | None = None

    def opening_change(self, time_s: float, speed_scale: float) -> float:
        """How much the opening may change in `time_s` at a share of the velocity limit."""
        if self.velocity_m_s is None:
            return 1.0
        return speed_scale * self.velocity_m_s * time_s / abs(self.open_m - self.closed_m)

    def open_fraction(self, position_m: float) -> float:
        """Opening in [0, 1] for a finger position."""
        fraction = (position_m - self.closed_m) / (self.open_m - self.closed_m)
        return float(np.clip(fraction, 0.0, 1.0))

    def position_m(self, open_fraction: float) -> float:
        """Finger position for an opening in [0, 1]."""
        return self.closed_m + open_fraction * (self.open_m - self.closed_m)


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """A subscribed topic and the age above which its newest message counts as stale."""

    topic: str
    max_age_s: float


@dataclass(frozen=True, kw_only=True)
class CameraConfig(InputConfig):
    """A camera's topic, and what its driver publishes; `None` where the file does not say.

    Attributes:
        transport: `raw` (sensor_msgs/Image) or `compressed` (sensor_msgs/CompressedImage).
        rectify: Take the lens's distortion out, by the topic `camera_info`.
        camera_info: Its topic; `None` without `rectify`.
        frozen_after_rad: How far a joint may move under one and the same picture before the camera
            counts as frozen. A still scene alone gives the same picture for ever in a simulation,
            which has no noise, so time tells nothing.
        mount: `fixed`, or `gripper` when it moves with it; only training asks. `None`: not said.
    """

    transport: str = "raw"
    rectify: bool = False
    camera_info: str | None = None
    frozen_after_rad: float = 0.2
    frame_id: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    mount: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """How action chunks are played: see the robot file's `chunks`.

    Attributes:
        execute_s: Age of the observation at which the next chunk shall be there; a policy that
            takes longer than half of it is asked again at once.
        blend_s: Over how long a new chunk fades in, for `blend` and `rtc`.
        expire_after_s: Age of the observation after which its chunk is not played any more.
        join: How a new chunk joins the running one: one of `JOINS`.
    """

    execute_s: float
    blend_s: float
    expire_after_s: float
    join: str = "blend"


@dataclass(frozen=True, kw_only=True, eq=False)
class RobotConfig:
    """A checked robot file.

    Attributes:
        path: The file it was read from.
        joints: Names of the arm joints; their order is the order of every joint array.
        gripper: `None` for a robot without a gripper.
        cameras: By name.
        arm_sink: Where joint commands go.
        gripper_sink: Where the gripper's commands go; `None` without a gripper.
        safety: What stops the arm besides its limits.
        chain: Forward kinematics from the base to the tip.
        base_link: Root of the URDF, the frame of tip poses.
        tip_link: Link whose pose the policy and the drivers mean.
        urdf_path: The URDF or xacro.
        policy_server: Describes the policy of a server that does not; `None` where none is used.
        mirror: How the arm looks in a mirror, for training; `None` where the file does not say.
        lerobot: How a LeRobot policy sees the robot; `None` where none is used.
    """

    path: Path
    robot: str
    tick_hz: float
    joints: tuple[str, ...]
    limits: JointLimits
    gripper: GripperConfig | None
    cameras: Mapping[str, CameraConfig]
    state: InputConfig
    instruction_topic: str
    arm_sink: ArmSinkConfig
    gripper_sink: GripperSinkConfig | None
    chunks: ChunkConfig
    safety: SafetyConfig
    chain: KinematicChain
    base_link: str
    tip_link: str
    urdf_path: Path
    policy_server: PolicyServerConfig | None = None
    mirror: MirrorConfig | None = None
    lerobot: LeRobotConfig | None = None

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of an action's entries: the joints, then `gripper` when there is one."""
        return self.joints if self.gripper is None else (*self.joints, GRIPPER)

    @property
    def tick_s(self) -> float:
        """Control period."""
        return 1.0 / self.tick_hz


def load_robot(path: Path | str) -> RobotConfig:
    """Read and check a robot file.

    Raises:
        RobotFileError: With all the problems of the file at once.
    """
    path = Path(path)
    data = _read(path)
    problems = find_problems(data, path.parent)
    if problems:
        raise RobotFileError(f"robot file {path}", problems)
    return _build(path, data)


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RobotFileError(f"robot file {path}", [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise RobotFileError(f"robot file {path}", [f"is no UTF-8 text: {error}"]) from error
    except yaml.YAMLError as error:
        raise RobotFileError(f"robot file {path}", [f"is no valid YAML: {error}"]) from error


def _build(path: Path, data: dict[str, Any]) -> RobotConfig:
    urdf_path = path.parent / data["urdf"]
    urdf = read_joints(expand(urdf_path))
    chain = chain_to(urdf, data["tip_link"])
    return RobotConfig(
        path=path,
        robot=data["robot"],
        tick_hz=float(data["tick_hz"]),
        joints=tuple(data["joints"]),
        limits=_limits(data, urdf),
        gripper=_gripper(data, urdf) if "gripper" in data else None,
        cameras={name: CameraConfig(**camera) for name, camera in data["cameras"].items()},
        state=InputConfig(**data["state"]),
        instruction_topic=data["instruction"]["topic"],
        arm_sink=build_arm_sink(data),
        gripper_sink=build_gripper_sink(data),
        chunks=ChunkConfig(**(CHUNK_DEFAULTS | data.get("chunks", {}))),
        safety=build_safety(data),
        chain=KinematicChain.from_joints(chain, data["joints"]),
        base_link=chain[0].parent,
        tip_link=data["tip_link"],
        urdf_path=urdf_path,
        policy_server=_policy_server(data),
        mirror=build_mirror(data),
        lerobot=build_lerobot(data),
    )


def _policy_server(data: dict[str, Any]) -> PolicyServerConfig | None:
    server = data.get("policy_server")
    return None if server is None else PolicyServerConfig(**server)


def _gripper(data: dict[str, Any], urdf: Mapping[str, UrdfJoint]) -> GripperConfig:
    """Limited where the file says so, or where the finger is a joint of the arm's controller."""
    gripper = GripperConfig(**data["gripper"])
    if gripper.velocity_m_s is not None or data["actions"]["gripper"]["sink"] != WITH_ARM:
        return gripper
    velocity = urdf[gripper.joint].velocity_rad_s
    if not velocity or not math.isfinite(velocity):
        fastest = abs(gripper.open_m - gripper.closed_m) / _GRIPPER_CHANGE_S
    else:
        fastest = data["limits"]["velocity_scale"] * velocity
    return replace(gripper, velocity_m_s=fastest)


def _limits(data: dict[str, Any], urdf: Mapping[str, UrdfJoint]) -> JointLimits:
    joints = [urdf[name] for name in data["joints"]]
    limits = data["limits"]

    def per_joint(value: float | list[float]) -> FloatArray:
        return np.broadcast_to(np.asarray(value, np.float64), (len(joints),)).copy()

    def position(key: str) -> FloatArray:
        return np.array(limits.get(key, [getattr(joint, key) for joint in joints]), np.float64)

    return JointLimits(
        lower_rad=position("lower_rad"),
        upper_rad=position("upper_rad"),
        velocity_rad_s=limits["velocity_scale"]
        * np.array([joint.velocity_rad_s for joint in joints], np.float64),
        acceleration_rad_s2=per_joint(limits["acceleration_rad_s2"]),
        jerk_rad_s3=per_joint(limits["jerk_rad_s3"]),
    )
