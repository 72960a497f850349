"""Whether the arm goes where it is told: measured positions against those commanded of late."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray, RobotState, Status
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.runtime.latest import Obstacle

# Share of the limit within which an arm that was elsewhere counts as back.
_BACK = 0.25


class Following:
    """Remembers what was commanded in the last `following.within_s`.

    An arm that lags is where it was told to be a moment ago, so its lag alone is no error; one that
    stands still or goes elsewhere leaves the range of what it was told. Where MoveIt Servo moves
    the arm, the tip is told where to go and not the joints, so the tip is looked at.

    Once away, it must come much nearer than that to follow again: it goes on from where it is
    measured, and what it was told last should not be far from there.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self._limits = robot.safety.following
        self._is_tip = robot.arm_sink.sink in SERVO_SINKS
        self._names = ("x", "y", "z") if self._is_tip else robot.joints
        self._limit = self._limits.max_error_m if self._is_tip else self._limits.max_error_rad
        self._is_watching = False
        rows = max(1, round(self._limits.within_s * robot.tick_hz))
        self._commanded = np.zeros((rows, len(self._names)))
        self._next = 0
        self._since_s: float | None = None

    def begin(self, position_rad: FloatArray) -> None:
        """Start from the measured pose (J,)."""
        self._commanded[:] = self._watched(position_rad)
        self._is_watching, self._since_s = True, None

    def forget(self) -> None:
        """Find nothing until `begin`."""
        self._is_watching, self._since_s = False, None

    def note(self, position_rad: FloatArray) -> None:
        """Remember a command (J,)."""
        self._commanded[self._next] = self._watched(position_rad)
        self._next = (self._next + 1) % len(self._commanded)

    def settle(self) -> None:
        """Expect the arm where it was told to be last: nothing more is commanded."""
        self._commanded[:] = self._commanded[self._next - 1]

    def obstacle(self, measured: RobotState, now_s: float) -> Obstacle | None:
        """A hold while the arm is elsewhere, a fault once that lasts, else `None`."""
        if not self._is_watching:
            return None
        away = self._away(measured)
        worst = int(away.argmax())
        if away[worst] <= (self._limit if self._since_s is None else _BACK * self._limit):
            self._since_s = None
            return None
        self._since_s = now_s if self._since_s is None else min(self._since_s, now_s)
        reason = self._reason(self._names[worst], float(away[worst]))
        if now_s - self._since_s <= self._limits.fault_after_s:
            return Obstacle(status=Status.HOLD_NOT_FOLLOWING, reason=reason)
        return Obstacle(status=Status.FAULT_NOT_FOLLOWING, reason=reason)

    def is_lost(self, measured: RobotState) -> bool:
        """Whether the arm is elsewhere now."""
        return self._is_watching and bool(self._away(measured).max() > self._limit)

    def _away(self, measured: RobotState) -> FloatArray:
        """How far each joint (J,), or the tip (3,), is out of the range of what it was told."""
        position = self._watched(measured.position_rad)
        below = self._commanded.min(axis=0) - position
        above = position - self._commanded.max(axis=0)
        return np.asarray(np.maximum(below, above), np.float64)

    def _watched(self, position_rad: FloatArray) -> FloatArray:
        """The joints (J,), or the place of the tip (3,)."""
        if not self._is_tip:
            return position_rad
        return np.asarray(self._robot.chain.forward(position_rad)[:3, 3], np.float64)

    def _reason(self, name: str, away: float) -> str:
        limits = self._limits
        what, unit = (f"the tip's {name}", "m") if self._is_tip else (name, "rad")
        return (
            f"the arm does not follow: {what} is {away:.2f} {unit} from all that was commanded "
            f"in the last {limits.within_s:g} s, limit {self._limit:g} {unit} (robot file "
            f"{self._robot.path.name}, safety.following)"
        )
