"""Turn the plan into motion inside the velocity, acceleration, jerk and position limits.

Ruckig plans the speed of each joint, jerk-limited. Its position interface with a moving target was
tried first: whenever the arm is a hair ahead of the target, the fastest way to meet it at its speed
is to turn round, which cost 36 mrad of error at 1 rad/s where this pursuit has about 1.

Joints are handled as plain floats: for seven of them numpy's calls cost more than its loops save.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
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
from vla_ros.runtime.stopping import stop_after, stop_duration_s, stopping_range
from vla_ros.runtime.workspace import POINTS, Workspace

# A distance d is closed at the speed `gain * d`. A joint that needs long to build acceleration up
# would swing under the full gain.
_MAX_GAIN_1_S = 12.0
_GAIN_PER_BUILD_UP = 0.6
# Share of the acceleration limit with which a far target is approached; the rest is left for the
# time the jerk limit takes to build the deceleration up.
_APPROACH = 0.6
_AT_REST = 1e-9
_TOLERANCE_RAD = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionState:
    """Commanded motion, one value a joint: [rad], [rad/s], [rad/s²]."""

    position: list[float]
    velocity: list[float]
    acceleration: list[float]


@dataclass(frozen=True, kw_only=True)
class _Joint:
    """Limits of one joint, and the gain that suits them."""

    lower: float
    upper: float
    velocity: float
    acceleration: float
    jerk: float

    @property
    def gain_1_s(self) -> float:
        return min(_MAX_GAIN_1_S, _GAIN_PER_BUILD_UP * self.jerk / self.acceleration)


class Shaper:
    """Follows a target joint by joint.

    A step is taken only when the joint could still stop inside its position limits after it;
    otherwise it takes a step of its stop, which was safe the tick before. So it is with the arm as
    a whole and the box of its tip.

    Attributes:
        state: The motion commanded last; meaningless before `seed`.
        clamped: Number of targets that were outside the position limits, or the box.
    """

    def __init__(
        self, limits: JointLimits, tick_s: float, workspace: Workspace | None = None
    ) -> None:
        self._full_joints = self._joints = _joints(limits)
        self._workspace = workspace
        self._rest = [0.0] * len(self._joints)
        self.state = MotionState(position=self._rest, velocity=self._rest, acceleration=self._rest)
        self.clamped = 0
        self._tick_s = tick_s
        self._otg = Ruckig(len(self._joints), tick_s)
        self._trajectory = Trajectory(len(self._joints))
        self._input = _velocity_input(limits)

    @property
    def is_at_rest(self) -> bool:
        """Whether the commanded motion has ended."""
        return not any(self.state.velocity) and not any(self.state.acceleration)

    def slow_down(self, speed_scale: float) -> None:
        """Move at most at this share in [0, 1] of the velocity limits from now on.

        A faster motion is slowed down to it inside the acceleration and jerk limits.
        """
        self._joints = [
            replace(joint, velocity=speed_scale * joint.velocity) for joint in self._full_joints
        ]

    def seed(self, position_rad: FloatArray, velocity_rad_s: FloatArray) -> None:
        """Start from a measured state, shapes (J,), finite.

        A velocity that could not be stopped inside the position limits is taken as zero, and so are
        all when the tip could not be stopped inside its box.
        """
        position, velocity = position_rad.tolist(), velocity_rad_s.tolist()
        velocity = [
            _clip(v, -joint.velocity, joint.velocity)
            for v, joint in zip(velocity, self._full_joints, strict=True)
        ]
        moving = MotionState(position=position, velocity=velocity, acceleration=self._rest)
        overruns = self._overruns(moving, position)
        velocity = [0.0 if over else v for over, v in zip(overruns, velocity, strict=True)]
        moving = MotionState(position=position, velocity=velocity, acceleration=self._rest)
        if self._leaves_workspace(moving, position):
            velocity = self._rest
        self.state = MotionState(position=position, velocity=velocity, acceleration=self._rest)

    def step(self, target_rad: FloatArray, target_velocity_rad_s: FloatArray) -> MotionState:
        """Move one tick towards `target_rad` (J,), which itself moves at `target_velocity_rad_s`.

        A target that is not finite, or that Ruckig refuses, makes the arm decelerate.
        """
        target, drift = target_rad.tolist(), target_velocity_rad_s.tolist()
        if not all(map(math.isfinite, (*target, *drift))):
            return self.stop()
        target, drift = self._in_workspace(target, drift)
        try:
            wanted = self._plan(self._speeds(target, drift))
        except RuckigError:
            return self.stop()
        overruns = self._overruns(wanted, self.state.position)
        if any(overruns):
            wanted = _choose(overruns, self._stopping(), wanted)
        if self._leaves_workspace(wanted, self.state.position):
            wanted = self._stopping()
        return self._accept(wanted)

    def stop(self) -> MotionState:
        """Decelerate one tick; once at rest, keep the pose. Never raises: Ruckig has no part."""
        return self.state if self.is_at_rest else self._accept(self._stopping())

    def _in_workspace(
        self, target: list[float], drift: list[float]
    ) -> tuple[list[float], list[float]]:
        """The target with the tip inside its box; at its wall it is waited for."""
        if self._workspace is None:
            return target, drift
        reached = self._workspace.within_reach(self.state.position, target)
        if reached is target:
            return target, drift
        self.clamped += 1
        return reached, self._rest

    def _leaves_workspace(self, state: MotionState, previous_rad: list[float]) -> bool:
        """Whether the tip would leave its box when the arm stopped from `state`."""
        if self._workspace is None:
            return False
        return not self._workspace.holds(self._stopping_path(state), np.array(previous_rad))

    def _stopping_path(self, state: MotionState) -> FloatArray:
        """Joint positions (N, J) on the fastest way from `state` to rest."""
        motions = list(zip(state.velocity, state.acceleration, self._joints, strict=True))
        duration_s = max(stop_duration_s(v, a, j.acceleration, j.jerk) for v, a, j in motions)
        return np.array(
            [
                [
                    x + stop_after(time_s, v, a, j.acceleration, j.jerk)[0]
                    for x, (v, a, j) in zip(state.position, motions, strict=True)
                ]
                for time_s in np.linspace(0.0, duration_s, POINTS).tolist()
            ]
        )

    def _speeds(self, target: list[float], drift: list[float]) -> list[float]:
        """The speed each joint should have, to follow its target."""
        joints = self._joints
        inside = [_clip(t, j.lower, j.upper) for t, j in zip(target, joints, strict=True)]
        self.clamped += int(inside != target)
        state, speeds = self.state, []
        for index, joint in enumerate(joints):
            next_rad = state.position[index] + state.velocity[index] * self._tick_s
            closing = _closing_speed(
                inside[index] - next_rad, joint.gain_1_s, _APPROACH * joint.acceleration
            )
            # A target that leaves the limits is waited for at the limit.
            follow = drift[index] if inside[index] == target[index] else 0.0
            speeds.append(_clip(follow + closing, -joint.velocity, joint.velocity))
        return speeds

    def _plan(self, velocity: list[float]) -> MotionState:
        """The motion one tick later on the fastest way to `velocity`."""
        self._input.current_position = self.state.position
        self._input.current_velocity = self.state.velocity
        self._input.current_acceleration = self.state.acceleration
        self._input.target_velocity = velocity
        result = self._otg.calculate(self._input, self._trajectory)
        if result not in (Result.Working, Result.Finished):
            raise RuckigError(f"Ruckig answers {result}")
        position, speed, acceleration = self._trajectory.at_time(self._tick_s)
        return MotionState(position=position, velocity=speed, acceleration=acceleration)

    def _stopping(self) -> MotionState:
        """The motion one tick later on the fastest way to rest."""
        state = self.state
        steps = [
            stop_after(self._tick_s, v, a, joint.acceleration, joint.jerk)
            for v, a, joint in zip(state.velocity, state.acceleration, self._joints, strict=True)
        ]
        return MotionState(
            position=[x + step[0] for x, step in zip(state.position, steps, strict=True)],
            velocity=[step[1] for step in steps],
            acceleration=[step[2] for step in steps],
        )

    def _overruns(self, state: MotionState, previous_rad: list[float]) -> list[bool]:
        """Which joints could not stop inside the position limits from `state`.

        A joint that is outside already may only come back: its limit is where it is.
        """
        overruns = []
        for index, joint in enumerate(self._joints):
            low, high = stopping_range(
                state.velocity[index], state.acceleration[index], joint.acceleration, joint.jerk
            )
            lower = min(joint.lower, previous_rad[index]) - _TOLERANCE_RAD
            upper = max(joint.upper, previous_rad[index]) + _TOLERANCE_RAD
            position = state.position[index]
            overruns.append(position + low < lower or position + high > upper)
        return overruns

    def _accept(self, state: MotionState) -> MotionState:
        self.state = state
        if all(abs(value) < _AT_REST for value in (*state.velocity, *state.acceleration)):
            self.state = MotionState(
                position=state.position, velocity=self._rest, acceleration=self._rest
            )
        return self.state


def _closing_speed(distance: float, gain_1_s: float, deceleration: float) -> float:
    """Speed that closes `distance`.

    Proportional near the target and, further away, the speed from which a constant deceleration
    ends there (the square-root controller of ArduPilot and PX4).
    """
    reach = deceleration / gain_1_s**2
    if abs(distance) < reach:
        return gain_1_s * distance
    return math.copysign(math.sqrt(2.0 * deceleration * (abs(distance) - 0.5 * reach)), distance)


def _joints(limits: JointLimits) -> list[_Joint]:
    columns = (
        limits.lower_rad,
        limits.upper_rad,
        limits.velocity_rad_s,
        limits.acceleration_rad_s2,
        limits.jerk_rad_s3,
    )
    return [
        _Joint(lower=low, upper=high, velocity=velocity, acceleration=acceleration, jerk=jerk)
        for low, high, velocity, acceleration, jerk in np.stack(columns, axis=1).tolist()
    ]


def _velocity_input(limits: JointLimits) -> InputParameter:
    parameters = InputParameter(len(limits.lower_rad))
    parameters.control_interface = ControlInterface.Velocity
    parameters.synchronization = Synchronization.No
    parameters.max_velocity = limits.velocity_rad_s
    parameters.max_acceleration = limits.acceleration_rad_s2
    parameters.max_jerk = limits.jerk_rad_s3
    return parameters


def _choose(mask: list[bool], chosen: MotionState, other: MotionState) -> MotionState:
    def pick(a: list[float], b: list[float]) -> list[float]:
        return [x if use else y for use, x, y in zip(mask, a, b, strict=True)]

    return MotionState(
        position=pick(chosen.position, other.position),
        velocity=pick(chosen.velocity, other.velocity),
        acceleration=pick(chosen.acceleration, other.acceleration),
    )


def _clip(value: float, low: float, high: float) -> float:
    """Clamp a finite value."""
    return min(max(value, low), high)
