"""The commands that would follow if nothing new came: the rest of the plan, shaped, until rest.

For drivers that take a whole trajectory, and for showing where the arm is about to go.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vla_ros.datatypes import Command
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.safety import SafetyFilter
from vla_ros.runtime.scheduler import ChunkScheduler
from vla_ros.runtime.shaper import MotionState, Shaper
from vla_ros.runtime.workspace import Workspace

PERIOD_S = 0.05
"""Between two commands: a controller's spline stays near the shaped motion, at a fifth of the
cost of every tick."""
_LONGEST_S = 5.0


class Lookahead:
    """A shaper and a safety filter of its own, so that looking ahead changes nothing."""

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = replace(robot, tick_hz=1.0 / PERIOD_S)
        self._shaper = Shaper(robot.limits, PERIOD_S, Workspace.of(robot))
        self._speed_scale = 1.0

    def slow_down(self, speed_scale: float) -> None:
        """Move at most at this share in [0, 1] of the velocity limits from now on."""
        self._shaper.slow_down(speed_scale)
        self._speed_scale = speed_scale

    def commands(
        self,
        scheduler: ChunkScheduler,
        start: MotionState,
        gripper_open: float | None,
        now_s: float,
    ) -> list[Command]:
        """The commands after `now_s`, the last one at rest; none for an arm at rest without a plan.

        Args:
            scheduler: The running plan.
            start: The motion commanded at `now_s`.
            gripper_open: The opening commanded at `now_s`.
            now_s: Time of the tick.
        """
        self._shaper.state = start
        safety = SafetyFilter(self._robot)
        safety.slow_down(self._speed_scale)
        safety.seed(np.array(start.position), gripper_open)
        commands: list[Command] = []
        for count in range(1, round(_LONGEST_S / PERIOD_S) + 1):
            time_s = now_s + count * PERIOD_S
            planned, opening = scheduler.sample(time_s), None
            if planned is None and self._shaper.is_at_rest:
                break
            if planned is None:
                motion = self._shaper.stop()
            else:
                joints = len(self._robot.joints)
                motion = self._shaper.step(planned[0][:joints], planned[1][:joints])
                opening = float(planned[0][joints]) if self._robot.gripper is not None else None
            velocity = np.array(motion.velocity)
            command = safety.apply(np.array(motion.position), velocity, opening, time_s)
            commands += [] if command is None else [command]
        return commands
