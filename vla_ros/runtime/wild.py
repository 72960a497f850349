"""Counts plans that ask for what the arm may not or cannot do: clamped, but not for ever.

One such plan is followed as far as the limits allow. A policy that gives nothing else is broken.
"""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray, Status
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.inference import Plan
from vla_ros.runtime.latest import Obstacle

FAULT_AFTER_S = 3.0
# Beyond a limit; a good policy overshoots a little.
_FAR_RAD, _FAR_M = 0.1, 0.03
# Of what a joint can do at its velocity limit between two steps.
_JUMP = 5.0


class WildActions:
    """Looks at every plan before it is clamped.

    Attributes:
        count: Number of plans that were wild.
        fault: Since `FAULT_AFTER_S` every plan has been wild; `None` otherwise.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self.count = 0
        self.fault: Obstacle | None = None
        self._robot = robot
        self._since_s: float | None = None

    def forgive(self) -> None:
        """Start anew."""
        self.fault, self._since_s = None, None

    def look(self, plan: Plan, now_s: float) -> None:
        """Look at a plan that was checked and found sound."""
        origin_rad = plan.observation.state.position_rad
        actions = np.asarray(plan.chunk.actions, np.float64)
        reason = self._reason(actions[:, : len(origin_rad)], origin_rad, plan.chunk.step_s)
        if not reason:
            self._since_s = None
            return
        self.count += 1
        self._since_s = now_s if self._since_s is None else min(self._since_s, now_s)
        if now_s - self._since_s >= FAULT_AFTER_S:
            since = f"every plan since {now_s - self._since_s:.1f} s is wild, limit"
            reason = f"{since} {FAULT_AFTER_S:g} s; the last one: {reason}"
            self.fault = Obstacle(status=Status.FAULT_WILD_ACTIONS, reason=reason)

    def _reason(self, targets_rad: FloatArray, origin_rad: FloatArray, step_s: float) -> str:
        limits, names = self._robot.limits, self._robot.joints
        beyond = np.maximum(limits.lower_rad - targets_rad, targets_rad - limits.upper_rad)
        step, joint = np.unravel_index(beyond.argmax(), beyond.shape)
        if beyond[step, joint] > _FAR_RAD:
            return f"{names[joint]} is to go {beyond[step, joint]:.2f} rad beyond its limit"
        path = np.vstack([origin_rad, targets_rad])
        jumps = np.abs(np.diff(path, axis=0)) / (limits.velocity_rad_s * step_s)
        step, joint = np.unravel_index(jumps.argmax(), jumps.shape)
        if jumps[step, joint] > _JUMP:
            return f"{names[joint]} is to jump at {jumps[step, joint]:.0f} times its velocity limit"
        return self._outside_box(targets_rad)

    def _outside_box(self, targets_rad: FloatArray) -> str:
        box = self._robot.safety.workspace
        if box is None:
            return ""
        tips_m = self._robot.chain.forward(targets_rad)[:, :3, 3]
        beyond_m = float(np.maximum(box.lower_m - tips_m, tips_m - box.upper_m).max())
        return f"the tip is to leave its box by {beyond_m:.2f} m" if beyond_m > _FAR_M else ""
