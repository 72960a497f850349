"""Keeps the tip of the arm in the box of the robot file, by what joint motion would do to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_ros.datatypes import FloatArray
from vla_ros.kinematics import KinematicChain
from vla_ros.robot_config import RobotConfig
from vla_ros.robot_safety import WorkspaceConfig

# The tip is looked at on this many points of a motion; between them it strays less than a
# millimetre at the speeds of an arm.
POINTS = 8
_FRACTIONS = np.linspace(0.0, 1.0, POINTS)[:, None]
_ROUNDING_M = 1e-9

_BoolArray = NDArray[np.bool_]


class Workspace:
    """The box, and where joint positions put the tip.

    A tip that is outside already may only come back: its wall is where it is.
    """

    def __init__(
        self, box: WorkspaceConfig, chain: KinematicChain, *, slack_m: float = 1e-6
    ) -> None:
        """Args: slack_m: How far outside still counts as inside."""
        self._lower_m, self._upper_m = box.lower_m - slack_m, box.upper_m + slack_m
        self._chain = chain

    @staticmethod
    def of(robot: RobotConfig, *, slack_m: float = 1e-6) -> Workspace | None:
        """The workspace of a robot file; `None` when it gives none."""
        box = robot.safety.workspace
        return None if box is None else Workspace(box, robot.chain, slack_m=slack_m)

    def within_reach(self, position: list[float], target: list[float]) -> list[float]:
        """The point nearest to `target` on the straight way there whose tip is in the box.

        Args:
            position: Present joint positions (J,).
            target: Joint positions (J,) to go to, finite.
        """
        start = np.array(position)
        way = start + _FRACTIONS * (np.array(target) - start)
        first_outside = self._first_outside(way, start)
        if first_outside is None:
            return target
        # Between the last point inside and the first one outside is the wall.
        near, far = way[first_outside - 1], way[first_outside]
        way = near + _FRACTIONS * (far - near)
        return list(map(float, way[(self._first_outside(way, start) or 1) - 1]))

    def holds(self, path: FloatArray, position: FloatArray) -> bool:
        """Whether the tip stays in the box on `path` (N, J), from `position` (J,) on."""
        return self._first_outside(path, position) is None

    def _first_outside(self, path: FloatArray, start: FloatArray) -> int | None:
        is_inside = self._are_inside(path, start)
        return None if is_inside.all() else int(is_inside.argmin())

    def _are_inside(self, path: FloatArray, start: FloatArray) -> _BoolArray:
        tips_m = self._chain.forward(np.vstack([start, path]))[:, :3, 3]
        lower_m = np.minimum(self._lower_m, tips_m[0]) - _ROUNDING_M
        upper_m = np.maximum(self._upper_m, tips_m[0]) + _ROUNDING_M
        return np.asarray(((tips_m[1:] >= lower_m) & (tips_m[1:] <= upper_m)).all(axis=1))
