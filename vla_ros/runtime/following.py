"""Whether the arm goes where it is told: measured positions against those commanded of late."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray, RobotState, Status
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_outputs import SERVO_SINKS
from vla_ros.runtime.latest import Obstacle
from vla_ros.runtime.standstill import Standstill

# Share of the limit within which an arm that was elsewhere counts as back.
_BACK = 0.25
# Share of the limit by which an arm that does not move at all must have been told to.
_ANSWERED = 0.25


class Following:
    """Remembers what was commanded in the last `following.within_s`.

    An arm that lags is where it was told to be a moment ago, so its lag alone is no error; one that
    stands still or goes elsewhere leaves the range of what it was told. Where MoveIt Servo moves
    the arm, the tip is told where to go and not the joints, so the tip is looked at.

    Once away, it must come much nearer than that to follow again: it goes on from where it is
    measured, and what it was told last should not be far from there.

    A slow policy may never be that far from an arm that does not move at all, so `Standstill` looks
    for that. Once found, the arm must move to follow again.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self._limits = robot.safety.following
        self._is_tip = robot.arm_sink.sink in SERVO_SINKS
        self._names = ("x", "y", "z") if self._is_tip else robot.joints
        self._unit = "m" if self._is_tip else "rad"
        self._limit = self._limits.max_error_m if self._is_tip else self._limits.max_error_rad
        self._is_watching = False
        rows = max(1, round(self._limits.within_s * robot.tick_hz))
        self._commanded = np.zeros((rows, len(self._names)))
        self._standstill = Standstill(
            self._commanded[0], answered=_ANSWERED * self._limit, within_s=self._limits.within_s
        )
        self._next = 0
        self._since_s: float | None = None

    def begin(self, position_rad: FloatArray) -> None:
        """Start from the measured pose (J,)."""
        position = self._watched(position_rad)
        self._commanded[:] = position
        self._standstill.begin(position)
        self._is_watching, self._since_s = True, None

    def forget(self) -> None:
        """Find nothing until `begin`."""
        self._is_watching, self._since_s = False, None

    def wait_anew(self, now_s: float) -> None:
        """Count from `now_s` how long the arm has been astray: the clock was set forward."""
        if self._since_s is not None:
            self._since_s = now_s

    def note(self, position_rad: FloatArray) -> None:
        """Remember a command (J,)."""
        position = self._watched(position_rad)
        self._commanded[self._next] = position
        self._standstill.note(position)
        self._next = (self._next + 1) % len(self._commanded)

    def settle(self) -> None:
        """Expect the arm where it was told to be last: nothing more is commanded."""
        self._commanded[:] = self._commanded[self._next - 1]

    def obstacle(self, measured: RobotState, now_s: float) -> Obstacle | None:
        """A hold while the arm is elsewhere or stands still, a fault once that lasts, or `None`."""
        if not self._is_watching:
            return None
        reason = self._astray(self._watched(measured.position_rad), now_s)
        if not reason:
            self._since_s = None
            return None
        self._since_s = now_s if self._since_s is None else min(self._since_s, now_s)
        if now_s - self._since_s <= self._limits.fault_after_s:
            return Obstacle(status=Status.HOLD_NOT_FOLLOWING, reason=reason)
        return Obstacle(status=Status.FAULT_NOT_FOLLOWING, reason=reason)

    def is_lost(self, measured: RobotState) -> bool:
        """Whether the arm is elsewhere now, or was found to stand still."""
        if not self._is_watching:
            return False
        away = self._away(self._watched(measured.position_rad))
        return self._standstill.is_found or bool(away.max() > self._limit)

    def _astray(self, position: FloatArray, now_s: float) -> str:
        """Why the arm does not follow, in words; empty when it does."""
        self._standstill.look(position, now_s)
        away = self._away(position)
        worst = int(away.argmax())
        if self._standstill.is_found and away[worst] <= self._limit:
            return self._why_still()
        if away[worst] <= (self._limit if self._since_s is None else _BACK * self._limit):
            return ""
        return self._why_away(self._names[worst], float(away[worst]))

    def _away(self, position: FloatArray) -> FloatArray:
        """How far each joint (J,), or the tip (3,), is out of the range of what it was told."""
        below = self._commanded.min(axis=0) - position
        above = position - self._commanded.max(axis=0)
        return np.asarray(np.maximum(below, above), np.float64)

    def _watched(self, position_rad: FloatArray) -> FloatArray:
        """The joints (J,), or the place of the tip (3,)."""
        if not self._is_tip:
            return position_rad
        return np.asarray(self._robot.chain.forward(position_rad)[:3, 3], np.float64)

    def _why_away(self, name: str, away: float) -> str:
        return (
            f"the arm does not follow: {self._called(name)} is {away:.2f} {self._unit} from all "
            f"that was commanded in the last {self._limits.within_s:g} s, limit {self._limit:g} "
            f"{self._unit} (robot file {self._robot.path.name}, safety.following)"
        )

    def _why_still(self) -> str:
        told, unit = self._standstill.told, self._unit
        return (
            f"the arm does not move: {self._called(self._names[int(told.argmax())])} was told to "
            f"move by {told.max():.3f} {unit} and nothing moved by more than "
            f"{self._standstill.went:.4f} {unit}, limit {_ANSWERED * self._limit:g} {unit}, a "
            f"quarter of max_error_{unit} (robot file {self._robot.path.name}, safety.following)"
        )

    def _called(self, name: str) -> str:
        return f"the tip's {name}" if self._is_tip else name
