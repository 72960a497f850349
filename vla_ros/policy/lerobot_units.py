"""Numbers of a LeRobot policy to the robot file's order and units, and back."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.robot_config import GRIPPER, RobotConfig
from vla_ros.robot_lerobot import LeRobotConfig

_PERCENT = 100.0


class LeRobotUnits:
    """Converts states and actions; what is no joint, a pose of the tip, stays as it is."""

    def __init__(self, robot: RobotConfig, said: LeRobotConfig) -> None:
        """Args: said: The robot file's `lerobot`."""
        self._said = said
        self._joints = len(robot.joints)
        self._is_delta = robot.arm_sink.meaning.startswith("delta")
        self._scale, self._zero_rad = _scale(robot, said.units)
        self._to_state = np.array([robot.action_names.index(name) for name in said.state])
        self._from_state = np.argsort(self._to_state)
        self._has_gripper = GRIPPER in robot.action_names
        self._from_actions = None
        if said.actions is not None:
            self._from_actions = np.array([said.actions.index(n) for n in robot.action_names])

    def state(self, position_rad: FloatArray, gripper_open: float | None) -> FloatArray:
        """`observation.state` (S,) of a measured state.

        Args:
            position_rad: Shape (J,), in the robot file's order.
            gripper_open: In [0, 1]; `None` without a gripper.
        """
        entries = (position_rad - self._zero_rad) / self._scale
        if gripper_open is not None:
            said = self._said
            number = said.gripper_closed + gripper_open * (said.gripper_open - said.gripper_closed)
            entries = np.append(entries, number)
        return np.asarray(entries[self._to_state], np.float64)

    def actions(self, actions: FloatArray) -> FloatArray:
        """Joints and gripper opening (..., A) in the robot file's order, of LeRobot's `action`."""
        if self._from_actions is None:
            arm, gripper = np.split(actions, [actions.shape[-1] - self._has_gripper], axis=-1)
        else:
            arm, gripper = np.split(actions[..., self._from_actions], [self._joints], axis=-1)
            arm = arm * self._scale + (0.0 if self._is_delta else self._zero_rad)
        said = self._said
        opening = (gripper - said.gripper_closed) / (said.gripper_open - said.gripper_closed)
        return np.concatenate([arm, np.clip(opening, 0.0, 1.0)], axis=-1, dtype=np.float64)

    def joints_from_state(self, entries: FloatArray) -> FloatArray:
        """Joint positions (J,) [rad] in entries of `observation.state` (S,)."""
        joints = entries[self._from_state][: self._joints]
        return np.asarray(joints * self._scale + self._zero_rad, np.float64)

    def joints_from_actions(self, entries: FloatArray) -> FloatArray:
        """Joint positions (J,) [rad] in entries of `action` (A,), which are joint positions."""
        return self.actions(entries)[: self._joints]


def _scale(robot: RobotConfig, units: str) -> tuple[FloatArray, FloatArray]:
    """Radians in one unit, and the position at 0, each of shape (J,)."""
    lower, upper = robot.limits.lower_rad, robot.limits.upper_rad
    if units == "percent":
        return (upper - lower) / (2 * _PERCENT), (lower + upper) / 2
    scale = np.pi / 180 if units == "degrees" else 1.0
    return np.full(len(lower), scale), np.zeros(len(lower))
