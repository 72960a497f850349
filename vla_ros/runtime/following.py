"""Whether the arm goes where it is told: measured positions against those commanded of late."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray, RobotState, Status
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.runtime.latest import Obstacle


class Following:
    """Remembers what was commanded in the last `following.within_s`.

    An arm that lags is where it was told to be a moment ago, so its lag alone is no error; one that
    stands still or goes elsewhere leaves the range of what it was told. Where MoveIt Servo moves
    the arm, the tip is told where to go and not the joints, so the tip is looked at.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self._limits = robot.safety.following
        self._is_tip = robot.arm_sink.sink in SERVO_SINKS
        self._names = ("x", "y", "z") if self._is_tip else robot.joints
        rows = max(1, round(self._limits.within_s * robot.tick_hz))
        self._commanded = np.zeros((rows, len(self._names)))
        self._next = 0
        self._since_s: float | None = None

    def begin(self, position_rad: FloatArray) -> None:
        """Start from the measured pose (J,)."""
        self._commanded[:] = self._watched(position_rad)
        self._since_s = None

    def note(self, position_rad: FloatArray) -> None:
        """Remember a command (J,)."""
        self._commanded[self._next] = self._watched(position_rad)
        self._next = (self._next + 1) % len(self._commanded)

    def obstacle(self, measured: RobotState, now_s: float) -> Obstacle | None:
        """A hold while the arm is elsewhere, a fault once that lasts, else `None`."""
        position = self._watched(measured.position_rad)
        below = self._commanded.min(axis=0) - position
        away = np.maximum(below, position - self._commanded.max(axis=0))
        worst = int(away.argmax())
        limits = self._limits
        if away[worst] <= (limits.max_error_m if self._is_tip else limits.max_error_rad):
            self._since_s = None
            return None
        self._since_s = now_s if self._since_s is None else min(self._since_s, now_s)
        reason = self._reason(self._names[worst], float(away[worst]))
        if now_s - self._since_s <= limits.fault_after_s:
            return Obstacle(status=Status.HOLD_NOT_FOLLOWING, reason=reason)
        return Obstacle(status=Status.FAULT_NOT_FOLLOWING, reason=reason)

    def _watched(self, position_rad: FloatArray) -> FloatArray:
        """The joints (J,), or the place of the tip (3,)."""
        if not self._is_tip:
            return position_rad
        return np.asarray(self._robot.chain.forward(position_rad)[:3, 3], np.float64)

    def _reason(self, name: str, away: float) -> str:
        limits = self._limits
        what, limit, unit = name, limits.max_error_rad, "rad"
        if self._is_tip:
            what, limit, unit = f"the tip's {name}", limits.max_error_m, "m"
        return (
            f"the arm does not follow: {what} is {away:.2f} {unit} from all that was commanded "
            f"in the last {limits.within_s:g} s, limit {limit:g} {unit} (robot file "
            f"{self._robot.path.name}, safety.following)"
        )
