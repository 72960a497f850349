"""The rules of ros2_control's forward_command_controller, without ROS.

It hands on what it gets, in its own order of joints, and keeps it for ever. A wrong number of
values makes the controller manager deactivate it: from then on the last setpoint is held.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.joint_trajectory import Knot


class ForwardController:
    """Turns lists of positions into setpoints.

    Attributes:
        is_holding: Nothing was commanded since the start or a reset, or it is deactivated.
        accepted_count: Commands taken.
        refused_count: Commands refused.
        timeout_count: Always 0: this controller has no timeout.
    """

    timeout_count = 0

    def __init__(self, joint_count: int, position: FloatArray, order: Sequence[int]) -> None:
        """Hold `position`, shape (J,).

        Args:
            joint_count: Number of joints.
            position: Where they are.
            order: Index of each value of a command among the joints.
        """
        self._count = joint_count
        self._order = list(order)
        self.accepted_count = 0
        self.refused_count = 0
        self.reset(position, 0.0)

    def reset(self, position: FloatArray, now_s: float) -> None:
        """Activate anew, and hold `position`, shape (J,)."""
        self._position = position.copy()
        self._deactivated = ""
        self.is_holding = True

    def accept(self, values: Sequence[float], now_s: float) -> str | None:
        """Take positions; returns `None`, or why they were refused."""
        reason = self._deactivated or self._problem(values)
        if reason:
            self.refused_count += 1
            return reason
        self._position[self._order] = values
        self.is_holding = False
        self.accepted_count += 1
        return None

    def update(self, now_s: float, position: FloatArray, velocity: FloatArray) -> Knot:
        """The setpoint; the measured motion, each of shape (J,), plays no part."""
        zeros = np.zeros_like(self._position)
        return Knot(
            time_s=now_s, position=self._position.copy(), velocity=zeros, acceleration=zeros
        )

    def _problem(self, values: Sequence[float]) -> str:
        if len(values) != self._count:
            self._deactivated = (
                f"deactivated: it got {len(values)} values for {self._count} joints; "
                "reset it to go on"
            )
            self.is_holding = True
            return self._deactivated
        # The real one does not look; a physics engine would blow up.
        return "" if np.isfinite(values).all() else "a value is not finite"
