"""Holds the commands that a node has published against its robot's limits; for tests and soaks."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from vla_ros.robot_config import RobotConfig

_KEPT = 20
# Joint states of about this long may be what motion began from.
_MEASURED_KEPT = 100


@dataclass(frozen=True)
class Setpoint:
    """One commanded tick: positions and velocities (J,), and its number."""

    number: int
    position: np.ndarray
    velocity: np.ndarray


class MotionAudit:
    """Takes every message of the arm's trajectory topic, in order.

    Between two ticks, velocity, acceleration and jerk are means of what the shaper commanded, so
    the limits bound them too. Lost messages are known by the publisher's count. After a standstill
    motion may begin anew, from where the arm was measured and as fast as it moved then, a joint
    that moved too fast at its limit, and one that could not be stopped in time at rest. An arm that
    is outside its position limits is led back: no command is further out than it was itself.

    Attributes:
        commands: Messages taken.
        begun: How often motion began anew from a measured pose.
        travel_rad: How far the joints went, summed.
        exceeded: Number of violations by kind.
        examples: The first of them in words.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self.commands = 0
        self.begun = 0
        self.travel_rad = 0.0
        self.exceeded: Counter[str] = Counter()
        self.examples: list[str] = []
        self._robot = robot
        self._measured: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_MEASURED_KEPT)
        self._last: Setpoint | None = None
        self._before: Setpoint | None = None
        self._gain: np.ndarray | None = None

    def measure(self, position: np.ndarray, velocity: np.ndarray) -> None:
        """Take a joint state that the node gets, shapes (J,)."""
        self._measured.append((position, velocity))

    def take(self, msg: JointTrajectory, info: dict[str, Any]) -> None:
        """Take a message and what the middleware says of it."""
        self.commands += 1
        if tuple(msg.joint_names) != tuple(self._robot.arm_sink.joints):
            self._blame("joint names", str(list(msg.joint_names)))
            return
        first = info["publication_sequence_number"]
        for index, point in enumerate(msg.points):
            position, velocity = np.array(point.positions), np.array(point.velocities)
            if position.shape != velocity.shape or len(position) != len(msg.joint_names):
                self._blame("sizes", f"{position.shape}, {velocity.shape}")
            elif not np.isfinite([position, velocity]).all():
                self._blame("not finite", f"{position}, {velocity}")
            else:
                self._look(Setpoint(first + index, position, velocity))

    def _look(self, new: Setpoint) -> None:
        last = self._last
        self._hold("position", self._beyond(new.position), self._outermost(last))
        self._hold("velocity", new.velocity, self._robot.limits.velocity_rad_s)
        self._last = new
        if last is None or new.number <= last.number:  # the first, or of another publisher
            self._before, self._gain = None, None
            return
        self._compare(last, new, new.number - last.number)
        self._before = last

    def _beyond(self, position: np.ndarray) -> np.ndarray:
        """How far each joint is outside its limits; negative inside."""
        limits = self._robot.limits
        return np.maximum(limits.lower_rad - position, position - limits.upper_rad)

    def _outermost(self, last: Setpoint | None) -> np.ndarray:
        """How far outside its limits a joint may be told to be."""
        known = [position for position, _ in self._measured]
        known += [] if last is None else [last.position]
        return np.max([np.full(len(self._robot.joints), 1e-8), *map(self._beyond, known)], axis=0)

    def _compare(self, last: Setpoint, new: Setpoint, ticks: int) -> None:
        limits, elapsed_s = self._robot.limits, ticks * self._robot.tick_s
        step, gain = new.position - last.position, new.velocity - last.velocity
        self.travel_rad += float(np.abs(step).sum())
        checks = {
            "step": (step, limits.velocity_rad_s * elapsed_s),
            "acceleration": (gain, limits.acceleration_rad_s2 * elapsed_s),
        }
        if ticks == 1 and self._gain is not None:
            checks["jerk"] = (gain - self._gain, limits.jerk_rad_s3 * elapsed_s**2)
        self._gain = gain if ticks == 1 else None
        exceeded = [kind for kind, check in checks.items() if _exceeds(*check)]
        if exceeded and self._begins_anew(last, new):
            self.begun += 1
            self._gain = None
            return
        if exceeded == ["jerk"] and self._before and self._begins_anew(self._before, last):
            self.begun += 1  # a tick ago, so slowly that only the next gain of speed tells
            return
        for kind, check in checks.items():
            self._hold(kind, *check)

    def _begins_anew(self, last: Setpoint, new: Setpoint) -> bool:
        """Whether this is the first tick from a measured state, after a standstill."""
        limits, tick_s = self._robot.limits, self._robot.tick_s
        fastest, gain = limits.velocity_rad_s, limits.jerk_rad_s3 * tick_s**2
        return not last.velocity.any() and any(
            not _exceeds(new.position - position, fastest * tick_s)
            and not _exceeds(
                _smaller(new.velocity - np.clip(velocity, -fastest, fastest), new.velocity), gain
            )
            for position, velocity in self._measured
        )

    def _hold(self, kind: str, values: np.ndarray, limits: np.ndarray) -> None:
        over = np.maximum(values, 0.0) if kind == "position" else np.abs(values)
        if _exceeds(over, limits):
            joint = int((over - limits).argmax())
            name = self._robot.joints[joint]
            self._blame(kind, f"{name}: {over[joint]:.6g}, limit {limits[joint]:.6g}")

    def _blame(self, kind: str, words: str) -> None:
        self.exceeded[kind] += 1
        if len(self.examples) < _KEPT:
            self.examples.append(f"{kind} in command {self.commands}: {words}")


def _smaller(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(np.abs(one) < np.abs(other), one, other)


def _exceeds(values: np.ndarray, limits: np.ndarray) -> bool:
    return bool((np.abs(values) > limits * 1.0001 + 1e-6).any())
