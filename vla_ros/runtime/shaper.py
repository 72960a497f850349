"""Turn the plan into motion inside the velocity, acceleration, jerk and position limits.

Ruckig plans the speed of each joint, jerk-limited. Its position interface with a moving target was
tried first: whenever the arm is a hair ahead of the target, the fastest way to meet it at its speed
is to turn round, which cost 36 mrad of error at 1 rad/s where this pursuit has about 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ruckig import (
    ControlInterface,
    InputParameter,
    Result,
    Ruckig,
    RuckigError,
    Synchronization,
    Trajectory,
)

from vla_ros.datatypes import FloatArray
from vla_ros.robot_config import JointLimits

BoolArray = NDArray[np.bool_]

_GAIN_1_S = 12.0
# Share of the acceleration limit with which a far target is approached; the rest is left for the
# time the jerk limit takes to build the deceleration up.
_APPROACH = 0.6
_AT_REST = 1e-9
_TOLERANCE_RAD = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionState:
    """Commanded motion, each of shape (J,): [rad], [rad/s], [rad/s²]."""

    position: FloatArray
    velocity: FloatArray
    acceleration: FloatArray


class Shaper:
    """Follows a target joint by joint.

    A step is taken only when the arm could still stop inside the position limits after it;
    otherwise the joint takes a step of its stop, which was safe the tick before.

    Attributes:
        state: The motion commanded last; meaningless before `seed`.
        clamped: Number of targets that were outside the position limits.
    """

    def __init__(self, limits: JointLimits, tick_s: float) -> None:
        joints = len(limits.lower_rad)
        self.state = MotionState(
            position=np.zeros(joints), velocity=np.zeros(joints), acceleration=np.zeros(joints)
        )
        self.clamped = 0
        self._limits = limits
        self._tick_s = tick_s
        self._rest = np.zeros(joints)
        self._approach = _APPROACH * limits.acceleration_rad_s2
        self._otg = Ruckig(joints, tick_s)
        self._trajectory = Trajectory(joints)
        self._input = _velocity_input(limits)

    @property
    def is_at_rest(self) -> bool:
        """Whether the commanded motion has ended."""
        return not bool(self.state.velocity.any() or self.state.acceleration.any())

    def seed(self, position_rad: FloatArray, velocity_rad_s: FloatArray) -> None:
        """Start from a measured state, shapes (J,), finite.

        A velocity that could not be stopped inside the position limits is taken as zero.
        """
        limit = self._limits.velocity_rad_s
        moving = MotionState(
            position=np.array(position_rad, np.float64),
            velocity=np.clip(velocity_rad_s, -limit, limit),
            acceleration=self._rest,
        )
        self.state = MotionState(
            position=moving.position,
            velocity=np.where(self._overruns(moving, moving.position), 0.0, moving.velocity),
            acceleration=self._rest,
        )

    def step(self, target_rad: FloatArray, target_velocity_rad_s: FloatArray) -> MotionState:
        """Move one tick towards `target_rad` (J,), which itself moves at `target_velocity_rad_s`.

        A target that is not finite, or that Ruckig refuses, makes the arm decelerate.
        """
        if not (np.isfinite(target_rad).all() and np.isfinite(target_velocity_rad_s).all()):
            return self.stop()
        try:
            wanted = self._plan(self.state, self._pursuit(target_rad, target_velocity_rad_s))
            overruns = self._overruns(wanted, self.state.position)
        except RuckigError:
            return self.stop()
        if not overruns.any():
            return self._accept(wanted)
        return self._accept(_choose(overruns, self._plan(self.state, self._rest), wanted))

    def stop(self) -> MotionState:
        """Decelerate one tick; once at rest, keep the pose."""
        if self.is_at_rest:
            return self.state
        return self._accept(self._plan(self.state, self._rest))

    def _pursuit(self, target_rad: FloatArray, target_velocity_rad_s: FloatArray) -> FloatArray:
        """Speed (J,) that follows the target: its own, plus one that closes the distance.

        The closing speed is proportional near the target and, further away, the one from which a
        constant deceleration ends there (the square-root controller of ArduPilot and PX4).
        """
        limits, state, reach = self._limits, self.state, self._approach / _GAIN_1_S**2
        target = np.clip(target_rad, limits.lower_rad, limits.upper_rad)
        self.clamped += int((target != target_rad).any())
        # A target that leaves the limits is waited for at the limit.
        drift = np.where(target == target_rad, target_velocity_rad_s, 0.0)
        error = target - (state.position + state.velocity * self._tick_s)
        distance = np.abs(error)
        far = np.sqrt(2.0 * self._approach * np.maximum(distance - 0.5 * reach, 0.0))
        closing = np.where(distance < reach, _GAIN_1_S * distance, far)
        speed = drift + np.copysign(closing, error)
        speed = np.clip(speed, -limits.velocity_rad_s, limits.velocity_rad_s)
        return np.asarray(speed, np.float64)

    def _plan(self, state: MotionState, velocity: FloatArray) -> MotionState:
        """The motion one tick later on the fastest way from `state` to `velocity` (J,)."""
        self._calculate(state, velocity)
        position, speed, acceleration = self._trajectory.at_time(self._tick_s)
        return MotionState(
            position=np.array(position),
            velocity=np.array(speed),
            acceleration=np.array(acceleration),
        )

    def _overruns(self, state: MotionState, previous_rad: FloatArray) -> BoolArray:
        """Which joints (J,) could not stop inside the position limits from `state`.

        A joint that is outside already may only come back: its limit is where it is.
        """
        self._calculate(state, self._rest)
        extrema = self._trajectory.position_extrema
        lowest = np.array([bound.min for bound in extrema])
        highest = np.array([bound.max for bound in extrema])
        lower = np.minimum(self._limits.lower_rad, previous_rad) - _TOLERANCE_RAD
        upper = np.maximum(self._limits.upper_rad, previous_rad) + _TOLERANCE_RAD
        return np.asarray((lowest < lower) | (highest > upper))

    def _calculate(self, state: MotionState, velocity: FloatArray) -> None:
        self._input.current_position = state.position
        self._input.current_velocity = state.velocity
        self._input.current_acceleration = state.acceleration
        self._input.target_velocity = velocity
        result = self._otg.calculate(self._input, self._trajectory)
        if result not in (Result.Working, Result.Finished):
            raise RuckigError(f"Ruckig answers {result}")

    def _accept(self, state: MotionState) -> MotionState:
        resting = (np.abs(state.velocity) < _AT_REST) & (np.abs(state.acceleration) < _AT_REST)
        self.state = MotionState(
            position=state.position,
            velocity=np.where(resting, 0.0, state.velocity),
            acceleration=np.where(resting, 0.0, state.acceleration),
        )
        return self.state


def _velocity_input(limits: JointLimits) -> InputParameter:
    parameters = InputParameter(len(limits.lower_rad))
    parameters.control_interface = ControlInterface.Velocity
    parameters.synchronization = Synchronization.No
    parameters.max_velocity = limits.velocity_rad_s
    parameters.max_acceleration = limits.acceleration_rad_s2
    parameters.max_jerk = limits.jerk_rad_s3
    return parameters


def _choose(mask: BoolArray, chosen: MotionState, other: MotionState) -> MotionState:
    return MotionState(
        position=np.where(mask, chosen.position, other.position),
        velocity=np.where(mask, chosen.velocity, other.velocity),
        acceleration=np.where(mask, chosen.acceleration, other.acceleration),
    )
