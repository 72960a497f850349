"""A joint trajectory and how joint_trajectory_controller interpolates it.

Called by `trajectory_controller`. Field names are those of trajectory_msgs; the formulas are those
of `interpolate_between_points` in ros2_controllers (jazzy, trajectory.cpp).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray


@dataclass(frozen=True, kw_only=True)
class TrajectoryPoint:
    """One point of a trajectory; an empty tuple is a field that was not given.

    Attributes:
        time_from_start_s: Due time, counted from the trajectory's start.
        positions: In the order of the trajectory's `joint_names`, [rad] or [m].
        velocities: [rad/s] or [m/s].
        accelerations: [rad/s²] or [m/s²].
        effort: [N m] or [N].
    """

    time_from_start_s: float
    positions: tuple[float, ...] = ()
    velocities: tuple[float, ...] = ()
    accelerations: tuple[float, ...] = ()
    effort: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JointTrajectory:
    """What a trajectory_msgs/JointTrajectory says; `stamp_s` 0 means: start on arrival."""

    joint_names: tuple[str, ...]
    points: tuple[TrajectoryPoint, ...]
    stamp_s: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Knot:
    """A point in the controller's joint order at an absolute time.

    Attributes:
        time_s: When it is due.
        position: Shape (J,).
        velocity: Shape (J,); `None` where the trajectory gives none.
        acceleration: Shape (J,); `None` where the trajectory gives none.
    """

    time_s: float
    position: FloatArray
    velocity: FloatArray | None
    acceleration: FloatArray | None


def sample(before: Knot, knots: Sequence[Knot], now_s: float) -> Knot:
    """Return the desired state at `now_s`; velocity and acceleration are always given.

    Args:
        before: The state the first segment starts from.
        knots: The trajectory's points, at least one, by rising time.
        now_s: Past the last knot, that knot is held, its velocity included.
    """
    index = bisect_right(knots, now_s, key=lambda knot: knot.time_s)
    if index == len(knots):
        return _filled(knots[-1], now_s)
    return _interpolate(before if index == 0 else knots[index - 1], knots[index], now_s)


def _filled(knot: Knot, now_s: float) -> Knot:
    zeros = np.zeros_like(knot.position)
    return Knot(
        time_s=now_s,
        position=knot.position,
        velocity=zeros if knot.velocity is None else knot.velocity,
        acceleration=zeros if knot.acceleration is None else knot.acceleration,
    )


def _interpolate(a: Knot, b: Knot, now_s: float) -> Knot:
    """Degree 1, 3 or 5, by what both ends of the segment give."""
    duration_s = b.time_s - a.time_s
    if not duration_s > 0:  # only when the clock went back behind `a`
        return _filled(a, now_s)
    passed_s = float(np.clip(now_s - a.time_s, 0.0, duration_s))
    if a.velocity is None or b.velocity is None:
        coefficients = np.stack([a.position, (b.position - a.position) / duration_s])
    elif a.acceleration is None or b.acceleration is None:
        coefficients = _cubic(a.position, a.velocity, b.position, b.velocity, duration_s)
    else:
        start = np.stack([a.position, a.velocity, a.acceleration])
        end = np.stack([b.position, b.velocity, b.acceleration])
        coefficients = _quintic(start, end, duration_s)
    rate = _derivative(coefficients)
    return Knot(
        time_s=now_s,
        position=_value(coefficients, passed_s),
        velocity=_value(rate, passed_s),
        acceleration=_value(_derivative(rate), passed_s),
    )


def _cubic(
    p0: FloatArray, v0: FloatArray, p1: FloatArray, v1: FloatArray, duration_s: float
) -> FloatArray:
    """Coefficients (4, J), constant term first."""
    c2 = (3 * (p1 - p0) - (2 * v0 + v1) * duration_s) / duration_s**2
    c3 = (2 * (p0 - p1) + (v0 + v1) * duration_s) / duration_s**3
    return np.stack([p0, v0, c2, c3])


def _quintic(start: FloatArray, end: FloatArray, duration_s: float) -> FloatArray:
    """Coefficients (6, J), constant term first; `start` and `end` are (3, J): p, v, a."""
    (p0, v0, a0), (p1, v1, a1) = start, end
    t = duration_s
    c3 = (20 * (p1 - p0) - (3 * a0 - a1) * t**2 - (12 * v0 + 8 * v1) * t) / (2 * t**3)
    c4 = (30 * (p0 - p1) + (3 * a0 - 2 * a1) * t**2 + (16 * v0 + 14 * v1) * t) / (2 * t**4)
    c5 = (12 * (p1 - p0) - (a0 - a1) * t**2 - 6 * (v0 + v1) * t) / (2 * t**5)
    return np.stack([p0, v0, a0 / 2, c3, c4, c5])


def _derivative(coefficients: FloatArray) -> FloatArray:
    if len(coefficients) == 1:
        return np.zeros_like(coefficients)
    powers = np.arange(1, len(coefficients), dtype=np.float64)
    return coefficients[1:] * powers[:, None]


def _value(coefficients: FloatArray, t_s: float) -> FloatArray:
    """Horner's rule over the first axis, shape (J,)."""
    value: FloatArray = np.zeros_like(coefficients[0])
    for coefficient in coefficients[::-1]:
        value = value * t_s + coefficient
    return value
