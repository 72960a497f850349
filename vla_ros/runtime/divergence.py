"""How far a plan and the arm's real motion are apart when the plan ends.

While the policy drives, that is how well the arm follows. In shadow mode somebody else moves the
arm, and it is how much the policy would have done otherwise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import ActionChunk, RobotState
from vla_ros.robot_config import RobotConfig


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Distance between where a plan ended and where the arm was then.

    Attributes:
        joint_rad: Of the joint that is farthest off.
        tip_m: Between the two places of the tip.
        after_s: Time from the plan's observation to its end.
    """

    joint_rad: float
    tip_m: float
    after_s: float


class Divergence:
    """Keeps the plans that have not ended, and compares each with the motion when it does.

    Attributes:
        last: Of the plan that ended last; `None` before the first.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self.last: Apart | None = None
        self._robot = robot
        self._plans: deque[ActionChunk] = deque()
        self._newest: ActionChunk | None = None

    def clear(self) -> None:
        """Forget everything."""
        self.last = None
        self._plans.clear()

    def watch(self, chunk: ActionChunk | None, state: RobotState | None) -> bool:
        """Look at the running plan and the newest state, once a tick.

        A plan of an earlier epoch is dropped: nobody follows it any more.

        Returns:
            Whether a plan has ended, so that `last` is new.
        """
        if chunk is not None and chunk is not self._newest:
            if self._plans and self._plans[-1].epoch != chunk.epoch:
                self._plans.clear()
            self._plans.append(chunk)
            self._newest = chunk
        before = self.last
        while state is not None and self._plans and state.stamp_s >= _end_s(self._plans[0]):
            self._compare(self._plans.popleft(), state)
        return self.last is not before

    def _compare(self, plan: ActionChunk, state: RobotState) -> None:
        if state.stamp_s > _end_s(plan) + plan.step_s:
            return  # nobody measured where the arm was when the plan ended
        planned = np.asarray(plan.actions[-1], np.float64)[: len(self._robot.joints)]
        forward = self._robot.chain.forward
        ends_m = forward(np.stack([planned, state.position_rad]))[:, :3, 3]
        self.last = Apart(
            joint_rad=float(np.abs(planned - state.position_rad).max()),
            tip_m=float(np.linalg.norm(ends_m[0] - ends_m[1])),
            after_s=_end_s(plan) - plan.start_s,
        )


def _end_s(plan: ActionChunk) -> float:
    return plan.start_s + len(plan.actions) * plan.step_s
