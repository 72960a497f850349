"""How a jerk-limited joint stops as fast as it can, and how far it still travels: in closed form.

Ruckig computes the same stop, but the `position_extrema` it reports for velocity control always
include zero (0.19.4), so they cannot be held against a position limit. And Ruckig can refuse an
input, which a stop must not.
"""

from __future__ import annotations

import math


def stopping_range(
    velocity: float, acceleration: float, max_acceleration: float, max_jerk: float
) -> tuple[float, float]:
    """Lowest and highest displacement on the fastest way to rest, (<= 0, >= 0).

    Args:
        velocity: Present velocity.
        acceleration: Present acceleration, at most `max_acceleration` either way.
        max_acceleration: Limit, above 0.
        max_jerk: Limit, above 0.
    """
    if _left(velocity, acceleration, max_jerk) < 0.0:
        low, high = stopping_range(-velocity, -acceleration, max_acceleration, max_jerk)
        return -high, -low
    end = _stopping_distance(velocity, acceleration, max_acceleration, max_jerk)
    dip = _dip(velocity, acceleration, max_jerk) if velocity < 0.0 else 0.0
    return min(dip, end, 0.0), max(end, 0.0)


def stop_after(
    duration_s: float,
    velocity: float,
    acceleration: float,
    max_acceleration: float,
    max_jerk: float,
) -> tuple[float, float, float]:
    """Displacement, velocity and acceleration after `duration_s` on the fastest way to rest.

    The other arguments are those of `stopping_range`.
    """
    if _left(velocity, acceleration, max_jerk) < 0.0:
        x, v, a = stop_after(duration_s, -velocity, -acceleration, max_acceleration, max_jerk)
        return -x, -v, -a
    fall_s, coast_s, peak = _braking(velocity, acceleration, max_acceleration, max_jerk)
    x, v, a = 0.0, velocity, acceleration
    phases = ((fall_s, -max_jerk), (coast_s, 0.0), (peak / max_jerk, max_jerk))
    for phase_s, jerk in phases:
        t = min(phase_s, duration_s)
        x += t * (v + t * (a / 2.0 + t * jerk / 6.0))
        v += t * (a + t * jerk / 2.0)
        a += t * jerk
        if duration_s <= phase_s:
            return x, v, a
        duration_s -= phase_s
    return x, 0.0, 0.0


def stop_duration_s(
    velocity: float, acceleration: float, max_acceleration: float, max_jerk: float
) -> float:
    """Time of the fastest way to rest; the arguments are those of `stopping_range`."""
    if _left(velocity, acceleration, max_jerk) < 0.0:
        velocity, acceleration = -velocity, -acceleration
    fall_s, coast_s, peak = _braking(velocity, acceleration, max_acceleration, max_jerk)
    return fall_s + coast_s + peak / max_jerk


def _left(velocity: float, acceleration: float, max_jerk: float) -> float:
    """The velocity that is left when the acceleration is taken back to zero.

    Its sign tells the way to brake; everything here is computed for a positive one.
    """
    return velocity + acceleration * abs(acceleration) / (2.0 * max_jerk)


def _braking(v: float, a: float, max_acceleration: float, j: float) -> tuple[float, float, float]:
    """How a stop brakes against the positive direction: `fall_s`, `coast_s` and `peak`.

    The acceleration falls from `a` to `-peak` at the jerk limit, stays there when `peak` is the
    acceleration limit, and returns to zero at the jerk limit.
    """
    peak = math.sqrt(max(0.0, j * v + 0.5 * a * a))
    coast_s = 0.0
    if peak > max_acceleration:
        coast_s = max(0.0, v + (0.5 * a * a - max_acceleration**2) / j) / max_acceleration
        peak = max_acceleration
    return max(0.0, a + peak) / j, coast_s, peak


def _stopping_distance(v: float, a: float, max_acceleration: float, j: float) -> float:
    """Displacement until rest when the braking goes against the positive direction."""
    fall_s, coast_s, peak = _braking(v, a, max_acceleration, j)
    fall = fall_s * (v + fall_s * (a / 2.0 - j * fall_s / 6.0))
    speed = v + fall_s * (a - j * fall_s / 2.0)
    return fall + coast_s * (speed - peak * coast_s / 2.0) + peak**3 / (6.0 * j * j)


def _dip(v: float, a: float, j: float) -> float:
    """Displacement where a negative velocity has been turned round by a positive acceleration."""
    turn_s = (a - math.sqrt(max(0.0, a * a + 2.0 * j * v))) / j
    return turn_s * (v + turn_s * (a / 2.0 - j * turn_s / 6.0))
