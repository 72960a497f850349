"""How far a jerk-limited joint still travels when it stops as fast as it can, in closed form.

Ruckig computes the same stop, but the `position_extrema` it reports for velocity control always
include zero (0.19.4), so they cannot be held against a position limit.
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
    # The velocity that is left when the acceleration is taken back to zero tells the way to brake;
    # the rest is computed in that direction.
    left = velocity + acceleration * abs(acceleration) / (2.0 * max_jerk)
    if left < 0.0:
        low, high = stopping_range(-velocity, -acceleration, max_acceleration, max_jerk)
        return -high, -low
    end = _stopping_distance(velocity, acceleration, max_acceleration, max_jerk)
    dip = _dip(velocity, acceleration, max_jerk) if velocity < 0.0 else 0.0
    return min(dip, end, 0.0), max(end, 0.0)


def _stopping_distance(v: float, a: float, max_acceleration: float, j: float) -> float:
    """Displacement until rest when the braking goes against the positive direction.

    The acceleration falls from `a` to `-peak` at the jerk limit, stays there when `peak` is the
    acceleration limit, and returns to zero at the jerk limit.
    """
    peak = math.sqrt(max(0.0, j * v + 0.5 * a * a))
    coast_s = 0.0
    if peak > max_acceleration:
        coast_s = (v + (0.5 * a * a - max_acceleration**2) / j) / max_acceleration
        peak = max_acceleration
    fall_s = (a + peak) / j
    fall = fall_s * (v + fall_s * (a / 2.0 - j * fall_s / 6.0))
    speed = v + fall_s * (a - j * fall_s / 2.0)
    return fall + coast_s * (speed - peak * coast_s / 2.0) + peak**3 / (6.0 * j * j)


def _dip(v: float, a: float, j: float) -> float:
    """Displacement where a negative velocity has been turned round by a positive acceleration."""
    turn_s = (a - math.sqrt(max(0.0, a * a + 2.0 * j * v))) / j
    return turn_s * (v + turn_s * (a / 2.0 - j * turn_s / 6.0))
