"""The twist that leads the tip along the way it is sent, and back to it."""

from __future__ import annotations

from collections import deque

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.inverse_kinematics import pose_error

# A position-controlled arm lags behind its commands, by 25 mm at 0.6 m/s in the simulation. Held
# against the newest command it would seem to have drifted off, be made to run ahead, and overshoot;
# held against the way it was sent in this time it does not. No arm that follows lags longer.
_REMEMBERED_S = 0.3
# What a turn counts beside a distance when the nearest pose is sought: the turn at this radius.
_RADIUS_M = 0.25
# A velocity alone would drift off: what is missing to the way is closed at this rate, no faster
# than the bounds.
_GAIN_1_S = 2.0
_BOUND_M_S, _BOUND_RAD_S = 0.25, 1.0


class TipPath:
    """The commanded poses of the tip of the last 0.3 s."""

    def __init__(self) -> None:
        self._poses: deque[tuple[float, FloatArray]] = deque()

    def begin(self, stamp_s: float, pose: FloatArray) -> None:
        """Stand at `pose`, shape (4, 4): the way before does not lead there."""
        self._poses.clear()
        self._poses.append((stamp_s, pose))

    def add(self, stamp_s: float, pose: FloatArray) -> None:
        """Go on to `pose`, shape (4, 4), commanded at `stamp_s`."""
        self._poses.append((stamp_s, pose))
        while not 0 <= stamp_s - self._poses[0][0] <= _REMEMBERED_S:
            self._poses.popleft()

    def velocity(self, shortest_s: float) -> FloatArray:
        """Of the newest piece of the way: [m/s, rad/s], shape (6,); zero at its beginning.

        By the stamps, not the commanded velocity: where ticks are late (a simulation on a busy
        machine), the driver goes on with the last twist and the arm would run ahead.

        Args:
            shortest_s: A piece counts as no shorter than this.
        """
        if len(self._poses) < 2:
            return np.zeros(6)
        (before_s, before), (now_s, now) = self._poses[-2], self._poses[-1]
        return np.asarray(pose_error(now, before) / max(now_s - before_s, shortest_s), np.float64)

    def correction(self, measured: FloatArray, speed_scale: float) -> FloatArray:
        """The velocity (6,) from a measured pose, shape (4, 4), towards the nearest of the way.

        An arm that has been at rest for 0.3 s is led to where it was sent in the end, at most at
        the share `speed_scale` of the bounds.
        """
        way = np.stack([pose for _, pose in self._poses])
        apart_m2 = np.square(way[:, :3, 3] - measured[:3, 3]).sum(axis=-1)
        # Of the angle between them a, without its arc cosine: 2 - 2 cos(a), nearly a².
        turned_rad2 = 3.0 - np.einsum("nij,ij->n", way[:, :3, :3], measured[:3, :3])
        nearest = int(np.argmin(apart_m2 + _RADIUS_M**2 * turned_rad2))
        return _bounded(_GAIN_1_S * pose_error(way[nearest], measured), speed_scale)


def _bounded(twist: FloatArray, speed_scale: float) -> FloatArray:
    """The twist (6,), slowed down as a whole until both parts are inside their bounds."""
    shares = np.linalg.norm(twist[:3]) / _BOUND_M_S, np.linalg.norm(twist[3:]) / _BOUND_RAD_S
    return twist / max(1.0, *(share / speed_scale for share in shares))
