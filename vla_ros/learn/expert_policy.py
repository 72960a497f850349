"""The scripted expert behind the face of a policy, for collecting and as a yardstick.

It reads the simulator's state, which no policy may do: `evaluate --policy expert` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vla_ros.datatypes import ActionChunk, ActionPrefix, FloatArray, Observation
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import RobotConfig
from vla_ros.sim.expert import Expert
from vla_ros.sim.layout import HOME_RAD
from vla_ros.sim.scene import CAMERAS
from vla_ros.sim.world import RENDER_PX, TabletopSim

STEP_S = 0.1
_NOISY_EPISODES = 0.6
_BURST_CHANCE = 0.12
_BURST_STEPS = (2, 6)
# The last one turns the gripper: a policy must see it turned away from what it is to grasp.
_NOISE_RAD = np.array([0.045, 0.045, 0.04, 0.045, 0.05, 0.05, 0.35])
_DROP_CHANCE = 0.1


def simulated_spec(robot: RobotConfig, horizon: int) -> PolicySpec:
    """Specification of a policy for the simulated tabletop at 10 Hz."""
    cameras = tuple(
        CameraSpec(name=name, height_px=RENDER_PX, width_px=RENDER_PX, resize="letterbox")
        for name in CAMERAS
    )
    return PolicySpec(
        robot=robot.robot,
        cameras=cameras,
        state_names=robot.action_names,
        action_names=robot.action_names,
        horizon=horizon,
        step_s=STEP_S,
    )


@dataclass(kw_only=True, eq=False)
class Row:
    """One recorded moment: what was seen, what the expert wanted then."""

    observation: Observation
    action: FloatArray
    target_m: FloatArray
    target_uv: FloatArray


@dataclass
class Noise:
    """Bursts of a constant push on the joint targets (DART, arXiv:1703.09327)."""

    rng: np.random.Generator
    enabled: bool = field(init=False)
    _steps_left: int = 0

    def __post_init__(self) -> None:
        self.enabled = bool(self.rng.random() < _NOISY_EPISODES)

    def disturb(self, action: FloatArray) -> FloatArray:
        """Return `action` (8,), pushed while a burst lasts."""
        if self._steps_left == 0 and self.enabled and self.rng.random() < _BURST_CHANCE:
            self._steps_left = int(self.rng.integers(*_BURST_STEPS))
            self._push_rad = self.rng.normal(0, _NOISE_RAD)
            self._opens = self.rng.random() < _DROP_CHANCE
        if self._steps_left == 0:
            return action
        self._steps_left -= 1
        gripper = 1.0 if self._opens else action[7]
        return np.append(action[:7] + self._push_rad, gripper)


class ExpertPolicy:
    """The expert as a policy with chunks of one step; optionally noisy and recording."""

    def __init__(
        self,
        robot: RobotConfig,
        world: TabletopSim,
        *,
        noise: Noise | None = None,
        rows: list[Row] | None = None,
        rest_rad: FloatArray = HOME_RAD,
    ) -> None:
        """Put the expert behind the face.

        Args:
            robot: The robot file.
            world: The simulation it acts in.
            noise: Disturbs what is executed.
            rows: Gets what was seen and wanted, undisturbed.
            rest_rad: As of `Expert`.
        """
        self.spec = simulated_spec(robot, horizon=1)
        self.expert, self._world = Expert(world, rest_rad), world
        self.noise, self.rows = noise, rows

    def reset(self) -> None:
        """Nothing to forget: the expert is pure feedback."""

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """The next step; the observation is recorded, the simulator's state is what counts."""
        action = self.expert.act()
        if self.rows is not None:
            self.rows.append(self._row(observation, action))
        executed = self.noise.disturb(action) if self.noise else action
        return ActionChunk(
            actions=executed[None],
            start_s=observation.stamp_s,
            step_s=STEP_S,
            epoch=observation.epoch,
            inference_s=0.0,
        )

    def _row(self, observation: Observation, action: FloatArray) -> Row:
        target_m = self._world.target_m
        seen = [self._world.place_in_picture(camera, target_m) for camera in CAMERAS]
        return Row(
            observation=observation, action=action, target_m=target_m, target_uv=np.stack(seen)
        )
