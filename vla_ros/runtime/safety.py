"""The last gate in front of the driver: the only maker of a `Command`, and the check of chunks."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Integral, Real

import numpy as np

from vla_ros.datatypes import ActionChunk, Command, FloatArray, Observation
from vla_ros.errors import ActionError
from vla_ros.robot_config import RobotConfig
from vla_ros.runtime.workspace import Workspace

_ROUNDING = 1e-6
# The shaper looks at points of the tip's path; what lies between them is not held against it.
_BOX_SLACK_M = 0.005


class SafetyFilter:
    """Lets finite setpoints inside the limits through, and holds the pose on anything else.

    Attributes:
        clamped: Number of chunks and setpoints that had to be moved inside the limits.
        refused: Number of setpoints that were not finite.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self.clamped = 0
        self.refused = 0
        self._robot = robot
        self._limits = robot.limits
        self._workspace = Workspace.of(robot, slack_m=_BOX_SLACK_M)
        self._step_rad = robot.limits.velocity_rad_s * robot.tick_s
        self._position_rad: FloatArray | None = None
        self._gripper_open: float | None = None
        self.slow_down(1.0)

    def slow_down(self, speed_scale: float) -> None:
        """Let the gripper move at most at this share in [0, 1] of its velocity limit from now on.

        The arm is slowed by its shaper; here its limits stay.
        """
        gripper, tick_s = self._robot.gripper, self._robot.tick_s
        self._opening_step = 1.0 if gripper is None else gripper.opening_change(tick_s, speed_scale)

    def seed(self, position_rad: FloatArray, gripper_open: float | None) -> None:
        """Start from the measured pose (J,): the first step is taken from there."""
        self._position_rad = np.array(position_rad, np.float64)
        self._gripper_open = gripper_open

    @property
    def gripper_open(self) -> float | None:
        """Opening commanded last."""
        return self._gripper_open

    def apply(
        self,
        position_rad: FloatArray,
        velocity_rad_s: FloatArray,
        gripper_open: float | None,
        now_s: float,
    ) -> Command | None:
        """The command for this tick; `None` before `seed`.

        Finite, inside the position limits (a joint that was outside may only come back), at most
        one tick at the velocity limit away from the command before, the tip in its box. The
        gripper's opening is, too, where the robot file limits its velocity; it stays as it is when
        `gripper_open` is `None` or not finite.
        """
        if self._position_rad is None:
            return None
        if not (np.isfinite(position_rad).all() and np.isfinite(velocity_rad_s).all()):
            self.refused += 1
            position_rad, velocity_rad_s = self._position_rad, np.zeros_like(self._position_rad)
        position, velocity = self._inside(position_rad, velocity_rad_s, self._position_rad)
        position, velocity = self._in_box(position, velocity, self._position_rad)
        # A bound that is no number would turn a finite setpoint into one that is not.
        if not (np.isfinite(position).all() and np.isfinite(velocity).all()):
            self.refused += 1
            position, velocity = self._position_rad, np.zeros_like(self._position_rad)
        self._position_rad = position
        if gripper_open is not None and math.isfinite(gripper_open):
            self._gripper_open = self._next_opening(min(1.0, max(0.0, gripper_open)))
        return Command(
            position_rad=position.copy(),
            velocity_rad_s=velocity,
            gripper_open=self._gripper_open if self._robot.gripper is not None else None,
            stamp_s=now_s,
        )

    def _next_opening(self, wanted: float) -> float:
        previous, step = self._gripper_open, self._opening_step
        return wanted if previous is None else min(max(wanted, previous - step), previous + step)

    def _inside(
        self, position_rad: FloatArray, velocity_rad_s: FloatArray, previous: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        limits = self._limits
        lower = np.maximum(np.minimum(limits.lower_rad, previous), previous - self._step_rad)
        upper = np.minimum(np.maximum(limits.upper_rad, previous), previous + self._step_rad)
        position = _clip(position_rad, lower, upper)
        velocity = _clip(velocity_rad_s, -limits.velocity_rad_s, limits.velocity_rad_s)
        moved = np.abs(position - position_rad) + np.abs(velocity - velocity_rad_s)
        self.clamped += int(moved.max() > _ROUNDING)
        return position, velocity

    def _in_box(
        self, position_rad: FloatArray, velocity_rad_s: FloatArray, previous: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        if self._workspace is None or self._workspace.holds(position_rad[None], previous):
            return position_rad, velocity_rad_s
        self.clamped += 1
        return previous, np.zeros_like(previous)

    def checked(self, chunk: ActionChunk, observation: Observation) -> ActionChunk:
        """Return the chunk planned from `observation`, as float64, its targets inside the limits.

        Raises:
            ActionError: Wrong shape, not finite, or of another epoch or time than `observation`.
        """
        actions = self._actions(chunk)
        _check_numbers(chunk)
        if not chunk.step_s > 0:
            raise ActionError(f"the chunk's step_s is {chunk.step_s}; valid: above 0 s")
        if not abs(chunk.start_s - observation.stamp_s) < 1e-3 or chunk.epoch != observation.epoch:
            raise ActionError(
                f"the chunk's start_s is {chunk.start_s} and its epoch {chunk.epoch}; valid: those "
                f"of its observation, {observation.stamp_s} and {observation.epoch}"
            )
        inside = self._clip_actions(actions)
        self.clamped += int((np.abs(inside - actions) > _ROUNDING).any())
        return replace(chunk, actions=inside)

    def _actions(self, chunk: ActionChunk) -> FloatArray:
        names = self._robot.action_names
        try:
            actions = np.asarray(chunk.actions, np.float64)
        except (TypeError, ValueError) as error:
            raise ActionError(f"the chunk's actions are no array of numbers: {error}") from error
        if actions.ndim != 2 or actions.shape[0] < 1 or actions.shape[1] != len(names):
            raise ActionError(
                f"the chunk has shape {actions.shape}; valid: (T, {len(names)}) with T of 1 or "
                f"more, for {', '.join(names)}"
            )
        if not np.isfinite(actions).all():
            step, column = np.argwhere(~np.isfinite(actions))[0]
            raise ActionError(
                f"the chunk holds {actions[step, column]} for {names[column]} at step {step}; "
                "valid: finite numbers"
            )
        return actions

    def _clip_actions(self, actions: FloatArray) -> FloatArray:
        lower, upper = self._limits.lower_rad, self._limits.upper_rad
        if self._robot.gripper is not None:
            lower, upper = np.append(lower, 0.0), np.append(upper, 1.0)
        return _clip(actions, lower, upper)


def _check_numbers(chunk: ActionChunk) -> None:
    """Refuse what a policy may have put in place of a time, or of the epoch."""
    for name in ("start_s", "step_s", "inference_s"):
        value = getattr(chunk, name)
        if not isinstance(value, Real) or not math.isfinite(value):
            raise ActionError(f"the chunk's {name} is {value!r}; valid: a finite number")
    epoch: object = chunk.epoch
    if not isinstance(epoch, Integral):
        raise ActionError(f"the chunk's epoch is {epoch!r}; valid: a whole number")


def _clip(values: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Clamp finite values; half the time of `np.clip` on short arrays."""
    return np.asarray(np.minimum(np.maximum(values, lower), upper), np.float64)
