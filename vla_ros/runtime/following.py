"""Whether the arm goes where it is told: measured positions against those commanded of late."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray, RobotState, Status
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.latest import Obstacle


class Following:
    """Remembers what was commanded in the last `following.within_s`.

    An arm that lags is where it was told to be a moment ago, so its lag alone is no error; one that
    stands still or goes elsewhere leaves the range of what it was told.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self._limits = robot.safety.following
        rows = max(1, round(self._limits.within_s * robot.tick_hz))
        self._commanded_rad = np.zeros((rows, len(robot.joints)))
        self._next = 0
        self._since_s: float | None = None

    def begin(self, position_rad: FloatArray) -> None:
        """Start from the measured pose (J,)."""
        self._commanded_rad[:] = position_rad
        self._since_s = None

    def note(self, position_rad: FloatArray) -> None:
        """Remember a command (J,)."""
        self._commanded_rad[self._next] = position_rad
        self._next = (self._next + 1) % len(self._commanded_rad)

    def obstacle(self, measured: RobotState, now_s: float) -> Obstacle | None:
        """A hold while the arm is elsewhere, a fault once that lasts, else `None`."""
        position = measured.position_rad
        below = self._commanded_rad.min(axis=0) - position
        away_rad = np.maximum(below, position - self._commanded_rad.max(axis=0))
        joint = int(away_rad.argmax())
        if away_rad[joint] <= self._limits.max_error_rad:
            self._since_s = None
            return None
        self._since_s = now_s if self._since_s is None else min(self._since_s, now_s)
        reason = self._reason(self._robot.joints[joint], float(away_rad[joint]))
        if now_s - self._since_s <= self._limits.fault_after_s:
            return Obstacle(status=Status.HOLD_NOT_FOLLOWING, reason=reason)
        return Obstacle(status=Status.FAULT_NOT_FOLLOWING, reason=reason)

    def _reason(self, joint: str, away_rad: float) -> str:
        limits = self._limits
        return (
            f"the arm does not follow: {joint} is {away_rad:.2f} rad from all that was commanded "
            f"in the last {limits.within_s:g} s, limit {limits.max_error_rad:g} rad (robot file "
            f"{self._robot.path.name}, safety.following)"
        )
