"""The documented rules of MoveIt Servo for twists and poses, without ROS.

Nothing is accepted before a command type was chosen, nor of another type. A command without a
frame is refused; one that is older than 0.1 s, as a zero stamp always is, is stale: the arm is
brought to a halt. Twists are in m/s and rad/s (`command_in_type: speed_units`).

Differences from the real one: no collision checking, no singularity scaling, no smoothing plugin;
the joint speed limits scale the whole motion, as Servo's do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.inverse_kinematics import pose_error
from vla_ros.robot_config import RobotConfig
from vla_ros.sim.joint_trajectory import Knot

COMMAND_TYPES = {0: "joint jog", 1: "twist", 2: "pose"}
STALE_AFTER_S = 0.1
"""Servo's `incoming_command_timeout`."""

_POSE_GAIN_1_S = 10.0
_DAMPING = 1e-4
# A speed dies away within this time when no command is fresh.
_HALT_S = 0.1


class ServoController:
    """Turns twists and poses of the tip into setpoints.

    Attributes:
        command_type: Chosen type; `None` before the first choice.
        is_holding: No command is fresh.
        accepted_count: Commands taken.
        refused_count: Commands refused.
        timeout_count: Times that the commands stopped coming.
    """

    def __init__(self, robot: RobotConfig, position: FloatArray) -> None:
        self._robot = robot
        self.command_type: int | None = None
        self.accepted_count = 0
        self.refused_count = 0
        self.timeout_count = 0
        self.reset(position, 0.0)

    @property
    def wants_pose(self) -> bool:
        """Whether the robot file sends poses, not twists."""
        return self._robot.arm_sink.sink == "servo_pose"

    def reset(self, position: FloatArray, now_s: float) -> None:
        """Hold `position`, shape (J,); the command type stays, as Servo goes on running."""
        self._position = position.copy()
        self._fresh_velocity = np.zeros_like(position)
        self._stamp_s = float("-inf")
        self._goal = np.zeros(6)
        self._updated_s = now_s
        self.is_holding = True

    def choose(self, command_type: int) -> str | None:
        """Choose the type of the commands to come; returns why not, or `None`."""
        if command_type not in COMMAND_TYPES:
            return f"command type {command_type} is unknown; valid: {COMMAND_TYPES}"
        if command_type == 0:
            return "joint jog is not simulated; valid: 1 (twist), 2 (pose)"
        self.command_type = command_type
        self._fresh_velocity = np.zeros_like(self._fresh_velocity)
        self._stamp_s = float("-inf")
        return None

    def accept_twist(
        self, twist: Sequence[float], frame: str, stamp_s: float, now_s: float
    ) -> str | None:
        """Take a velocity of the tip (6,) [m/s, rad/s]; returns why it was refused, or `None`."""
        reason = self._problem(1, twist, frame, stamp_s, now_s)
        return self._take(np.array(twist, np.float64), stamp_s, reason)

    def accept_pose(self, pose: FloatArray, frame: str, stamp_s: float, now_s: float) -> str | None:
        """Take a pose of the tip (4, 4); returns why it was refused, or `None`."""
        reason = self._problem(2, np.ravel(pose).tolist(), frame, stamp_s, now_s)
        return self._take(pose, stamp_s, reason)

    def update(self, now_s: float, position: FloatArray, velocity: FloatArray) -> Knot:
        """Move on to `now_s`; the setpoint starts from the one before, as Servo's does.

        Args:
            now_s: Time in the clock of the stamps.
            position: Measured, shape (J,); not used.
            velocity: Measured, shape (J,); not used.
        """
        duration_s, self._updated_s = max(0.0, now_s - self._updated_s), now_s
        is_fresh = now_s - self._stamp_s <= STALE_AFTER_S
        if not is_fresh and not self.is_holding:
            self.timeout_count += 1
        self.is_holding = not is_fresh
        if is_fresh:
            self._fresh_velocity = self._joint_velocity(self._twist())
        late_s = max(0.0, now_s - self._stamp_s - STALE_AFTER_S)
        velocity = self._fresh_velocity * max(0.0, 1.0 - late_s / _HALT_S)
        limits = self._robot.limits
        self._position = np.clip(
            self._position + duration_s * velocity, limits.lower_rad, limits.upper_rad
        )
        return Knot(
            time_s=now_s,
            position=self._position.copy(),
            velocity=velocity,
            acceleration=np.zeros_like(velocity),
        )

    def _take(self, goal: FloatArray, stamp_s: float, reason: str | None) -> str | None:
        if reason is not None:
            self.refused_count += 1
            return reason
        self.accepted_count += 1
        self._goal, self._stamp_s = goal, stamp_s
        return None

    def _problem(
        self, command_type: int, values: Sequence[float], frame: str, stamp_s: float, now_s: float
    ) -> str | None:
        if self.command_type != command_type:
            chosen = COMMAND_TYPES.get(self.command_type or -1, "none yet")
            return f"the command type is {chosen}; choose {command_type} with switch_command_type"
        if frame != self._robot.base_link:
            return f"frame_id is {frame!r}; valid: {self._robot.base_link!r}"
        if not np.isfinite(values).all():
            return "a value is not finite"
        if stamp_s == 0.0:
            return "the stamp is zero, which is always stale; stamp with the node's clock"
        if now_s - stamp_s > STALE_AFTER_S:
            return f"it is {now_s - stamp_s:.3f} s old, stale after {STALE_AFTER_S} s"
        return None

    def _twist(self) -> FloatArray:
        if self.command_type == 1:
            return self._goal
        return _POSE_GAIN_1_S * pose_error(self._goal, self._robot.chain.forward(self._position))

    def _joint_velocity(self, twist: FloatArray) -> FloatArray:
        jacobian = self._robot.chain.jacobian(self._position)
        square = jacobian @ jacobian.T + _DAMPING * np.eye(6)
        velocity = jacobian.T @ np.linalg.solve(square, twist)
        share = float((np.abs(velocity) / self._robot.limits.velocity_rad_s).max())
        return np.asarray(velocity / max(1.0, share), np.float64)
