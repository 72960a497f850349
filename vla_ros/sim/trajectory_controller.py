"""The rules of ros2_control's joint_trajectory_controller, without ROS.

`sim_node` puts one in front of each simulated driver, so that a policy node meets the refusals,
the interpolation and the timeout of a real arm. Read from ros2_controllers, branch jazzy
(`validate_trajectory_msg`, `update`, `set_hold_position`). Four deliberate differences:

- Not finite, or larger than any joint's position could be: the real one does not look and hands
  it to the hardware. A physics engine would blow up, so such a trajectory is refused and counted.
- A joint named twice passes the real check and leaves another joint with an old value; refused.
- Accelerations without velocities make the real one command zero positions; refused.
- A setpoint is the desired state at `now_s`; the real one looks one update period ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.joint_trajectory import JointTrajectory, Knot, TrajectoryPoint, sample

# The real controller's bound on the last point's velocity: float32 epsilon.
_STANDSTILL = float(np.finfo(np.float32).eps)
# Above it the interpolation's differences lose their meaning, far above any joint.
_LARGEST = 1e6


@dataclass(frozen=True, kw_only=True)
class ControllerParameters:
    """Parameters, named and defaulted as the real controller's.

    Attributes:
        joints: Joints of the controller; their order is the order of the setpoints.
        allow_partial_joints_goal: Accept trajectories for some of the joints; others hold.
        interpolate_from_desired_state: Start the first segment from the last setpoint instead of
            the measured state; needed to stream without a sawtooth.
        allow_nonzero_velocity_at_trajectory_end: Accept a last point that moves.
        cmd_timeout: Time after the last point [s] until the measured position is held; 0 is off.
        goal_time: `constraints.goal_time` [s]; a `cmd_timeout` that does not exceed it is ignored.
    """

    joints: tuple[str, ...]
    allow_partial_joints_goal: bool = False
    interpolate_from_desired_state: bool = False
    allow_nonzero_velocity_at_trajectory_end: bool = False
    cmd_timeout: float = 0.0
    goal_time: float = 0.0

    @property
    def effective_cmd_timeout(self) -> float:
        """`cmd_timeout`, or 0 where it is ignored."""
        return self.cmd_timeout if self.cmd_timeout > self.goal_time else 0.0


class TrajectoryController:
    """Turns trajectories into setpoints.

    Attributes:
        is_holding: Nothing is followed: at start, after `reset`, after a command timeout.
        accepted_count: Trajectories taken.
        refused_count: Trajectories refused.
        timeout_count: Command timeouts.
    """

    def __init__(
        self, parameters: ControllerParameters, position: FloatArray, now_s: float
    ) -> None:
        self.parameters = parameters
        self.accepted_count = 0
        self.refused_count = 0
        self.timeout_count = 0
        self.reset(position, now_s)

    def reset(self, position: FloatArray, now_s: float) -> None:
        """Drop every trajectory and hold `position`, shape (J,)."""
        self._pending: JointTrajectory | None = None
        self._hold(position, now_s)
        self._last = self._before

    def accept(self, trajectory: JointTrajectory, now_s: float) -> str | None:
        """Take a trajectory, to be followed from the next `update` on; the newest wins.

        Returns:
            `None`, or why it was refused; the running trajectory then goes on.
        """
        reason = find_problem(trajectory, self.parameters, now_s)
        if reason is None:
            self.accepted_count += 1
            self._pending = trajectory
        else:
            self.refused_count += 1
        return reason

    def update(self, now_s: float, position: FloatArray, velocity: FloatArray) -> Knot:
        """Return the setpoint for `now_s`.

        Args:
            now_s: Time in the clock of the stamps.
            position: Measured, shape (J,).
            velocity: Measured, shape (J,).
        """
        if self._pending is not None:
            measured = Knot(time_s=now_s, position=position, velocity=velocity, acceleration=None)
            self._start(self._pending, measured)
        timeout_s = self.parameters.effective_cmd_timeout
        if not self.is_holding and 0 < timeout_s < now_s - self._knots[-1].time_s:
            self.timeout_count += 1
            self._hold(position, now_s)
        self._last = sample(self._before, self._knots, now_s)
        return self._last

    def _hold(self, position: FloatArray, now_s: float) -> None:
        zeros = np.zeros_like(position)
        self._before = Knot(
            time_s=now_s, position=position.copy(), velocity=zeros, acceleration=zeros
        )
        self._knots = [self._before]
        self.is_holding = True

    def _start(self, trajectory: JointTrajectory, measured: Knot) -> None:
        start_s = trajectory.stamp_s or measured.time_s
        from_desired = self.parameters.interpolate_from_desired_state
        self._before = self._last if from_desired else measured
        self._knots = [self._knot(trajectory, point, start_s) for point in trajectory.points]
        self._pending = None
        self.is_holding = False

    def _knot(self, trajectory: JointTrajectory, point: TrajectoryPoint, start_s: float) -> Knot:
        """Sort a point into the controller's joint order; a joint not named holds its setpoint."""
        order = [self.parameters.joints.index(name) for name in trajectory.joint_names]
        still = np.zeros_like(self._last.position)

        def sorted_in(values: tuple[float, ...], others: FloatArray) -> FloatArray:
            result = others.copy()
            result[order] = values
            return result

        return Knot(
            time_s=start_s + point.time_from_start_s,
            position=sorted_in(point.positions, self._last.position),
            velocity=sorted_in(point.velocities, still) if point.velocities else None,
            acceleration=sorted_in(point.accelerations, still) if point.accelerations else None,
        )


def find_problem(
    trajectory: JointTrajectory, parameters: ControllerParameters, now_s: float
) -> str | None:
    """Why the controller would refuse `trajectory` at `now_s`; `None` when it would not."""
    return (
        _names_problem(trajectory.joint_names, parameters)
        or _points_problem(trajectory)
        or _end_problem(trajectory, parameters, now_s)
    )


def _names_problem(names: tuple[str, ...], parameters: ControllerParameters) -> str | None:
    joints = parameters.joints
    valid = f"the controller has: {', '.join(joints)}"
    unknown = [name for name in names if name not in joints]
    if not names:
        return f"joint_names is empty; {valid}"
    if unknown:
        return f"joint_names has {', '.join(map(repr, unknown))}; {valid}"
    if len(set(names)) != len(names):
        return f"joint_names has a joint twice: {', '.join(names)}; {valid}"
    if len(names) != len(joints) and not parameters.allow_partial_joints_goal:
        return (
            f"joint_names has {len(names)} joints; {valid}, and all must be named "
            "(allow_partial_joints_goal is false)"
        )
    return None


def _points_problem(trajectory: JointTrajectory) -> str | None:
    if not trajectory.points:
        return "points is empty; at least one is needed"
    previous_s = None
    for index, point in enumerate(trajectory.points):
        if previous_s is not None and not point.time_from_start_s > previous_s:
            return (
                f"points[{index}].time_from_start is {point.time_from_start_s:g} s after "
                f"{previous_s:g} s; times must strictly increase"
            )
        problem = _point_problem(point, len(trajectory.joint_names))
        if problem is not None:
            return f"points[{index}].{problem}"
        previous_s = point.time_from_start_s
    return None


def _point_problem(point: TrajectoryPoint, count: int) -> str | None:
    if len(point.positions) != count:
        return f"positions has {len(point.positions)} values for {count} joint names"
    for field, values in (("velocities", point.velocities), ("accelerations", point.accelerations)):
        if values and len(values) != count:
            return f"{field} has {len(values)} values for {count} joint names, or none"
    if point.effort:
        return f"effort has {len(point.effort)} values; this controller commands positions"
    if point.accelerations and not point.velocities:
        return "accelerations is given without velocities"
    values = (*point.positions, *point.velocities, *point.accelerations, point.time_from_start_s)
    # NaN compares false, so this refuses it too.
    bad = [value for value in values if not abs(value) <= _LARGEST]
    return f"values has {bad[0]}; finite values up to {_LARGEST:g} are valid" if bad else None


def _end_problem(
    trajectory: JointTrajectory, parameters: ControllerParameters, now_s: float
) -> str | None:
    last = trajectory.points[-1]
    moving = any(abs(velocity) > _STANDSTILL for velocity in last.velocities)
    if moving and not parameters.allow_nonzero_velocity_at_trajectory_end:
        return (
            f"the last point's velocities are {last.velocities}, not zero "
            "(allow_nonzero_velocity_at_trajectory_end is false)"
        )
    end_s = trajectory.stamp_s + last.time_from_start_s
    if trajectory.stamp_s != 0.0 and end_s < now_s:
        return (
            f"it ends at {end_s:.3f} s, in the past: the time is {now_s:.3f} s; "
            "stamp it with the node's clock, or with 0 to start on arrival"
        )
    return None
