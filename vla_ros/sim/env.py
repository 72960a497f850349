"""The tabletop as a Gymnasium environment, for people who bring their own loop."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from vla_ros.datatypes import FloatArray
from vla_ros.sim.layout import HOME_RAD
from vla_ros.sim.scene import CAMERAS
from vla_ros.sim.world import RENDER_PX, TabletopSim

STEP_S = 0.05
_TICK_S = 0.01


class TabletopEnv(gymnasium.Env[dict[str, Any], FloatArray]):
    """One step is 50 ms; the servos' targets move linearly to the action meanwhile.

    Observation: `front` and `wrist`, uint8 (render_px, render_px, 3) RGB; `state`, float64 (8,):
    seven joint positions [rad] and the gripper's opening in [0, 1]. The words are in `info`.
    Action: float64 (8,): seven joint targets [rad] and the gripper's opening.
    """

    def __init__(self, *, render_px: int = RENDER_PX, time_limit_s: float = 15.0) -> None:
        """Build the scene.

        Args:
            render_px: Edge of the pictures.
            time_limit_s: Time after which an episode is truncated.
        """
        self.world = TabletopSim(render_px)
        self.time_limit_s = time_limit_s
        picture = gymnasium.spaces.Box(0, 255, (render_px, render_px, 3), np.uint8)
        limits = self.world.model.jnt_range[self.world.model.joint("panda_joint1").id :][:7]
        low, high = np.append(limits[:, 0], 0.0), np.append(limits[:, 1], 1.0)
        self._low, self._high = low, high
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float64)
        spaces: dict[str, gymnasium.Space[Any]] = dict.fromkeys(CAMERAS, picture)
        # A servo may overshoot its limit by a hair, so the state's bounds are wider.
        spaces["state"] = gymnasium.spaces.Box(low - 0.1, high + 0.1, dtype=np.float64)
        self.observation_space = gymnasium.spaces.Dict(spaces)
        self._target = np.append(HOME_RAD, 1.0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; `options` may hold what `TabletopSim.reset` takes, such as `task`."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**31))
        self.world.reset(seed=seed, **(options or {}))
        self._target = np.append(self.world.layout.arm_rad, 1.0)
        return self._observe(), self._info()

    def step(self, action: FloatArray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Move the targets to `action` over 50 ms."""
        action = np.clip(np.asarray(action, np.float64), self._low, self._high)
        if not np.isfinite(action).all():
            raise ValueError(f"action must be finite, got {action}")
        ticks = round(STEP_S / _TICK_S)
        for tick in range(1, ticks + 1):
            target = self._target + (action - self._target) * tick / ticks
            self.world.set_target(target[:7], float(action[7]))
            self.world.advance(_TICK_S)
        self._target = action
        truncated = self.world.time_s >= self.time_limit_s and not self.world.success
        return self._observe(), self.world.reward(), self.world.success, truncated, self._info()

    def render(self) -> Any:
        """Picture for people, uint8 (480, 640, 3) RGB."""
        return self.world.render_view("demo", 480, 640)

    def close(self) -> None:
        """Free the renderers."""
        self.world.close()

    def _observe(self) -> dict[str, Any]:
        state = self.world.state()
        observation: dict[str, Any] = {name: self.world.render(name) for name in CAMERAS}
        observation["state"] = np.append(state.position_rad, self.world.gripper_open)
        return observation

    def _info(self) -> dict[str, Any]:
        return {**vars(self.world.episode), "success": self.world.success}
