"""A policy that moves at random: what success rate comes for nothing."""

from __future__ import annotations

import numpy as np

from vla_ros.datatypes import ActionChunk, ActionPrefix, Observation
from vla_ros.learn.expert_policy import STEP_S, simulated_spec
from vla_ros.robot_config import RobotConfig

_STEP_RAD = 0.03
_HORIZON = 16


class RandomPolicy:
    """Random walks of the joints from where they are, and a random gripper."""

    def __init__(self, robot: RobotConfig, seed: int) -> None:
        """Args: seed: The same seed gives the same walks."""
        self.spec = simulated_spec(robot, horizon=_HORIZON)
        self._joints = len(robot.joints)
        self._rng = np.random.default_rng(seed)

    def reset(self) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """A random walk of 16 steps."""
        steps = self._rng.normal(0, _STEP_RAD, self._joints) * np.ones((_HORIZON, 1))
        walk = observation.state.position_rad + np.cumsum(steps, axis=0)
        gripper = np.full((_HORIZON, 1), self._rng.random())
        return ActionChunk(
            actions=np.hstack([walk, gripper]),
            start_s=observation.stamp_s,
            step_s=STEP_S,
            epoch=observation.epoch,
            inference_s=0.0,
        )
