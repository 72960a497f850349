"""What the collector records of a scene: a demonstration, a moment, or corrections of a policy."""

from __future__ import annotations

import numpy as np

from vla_ros.image import resize
from vla_ros.learn.corrections import TakeTurns
from vla_ros.learn.episode import EpisodeData
from vla_ros.learn.excursion import draw_posture, wander
from vla_ros.learn.expert_policy import STEP_S, ExpertPolicy, Noise, Row
from vla_ros.learn.rollout import look, run_episode, step_by_step
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import RobotConfig
from vla_ros.sim.scene import CAMERAS
from vla_ros.sim.tasks import TASKS, TEMPLATES, requests_for, write_instruction
from vla_ros.sim.world import Episode, TabletopSim

PICTURE_PX = 96
# Shares of the scenes that are recorded under a disturbance. A block is kicked where a policy acts:
# the gripper is at the block then, not still on its way to a drawn place.
DEMONSTRATION_SHARES = {"cameras": 0.2}
CORRECTION_SHARES = {"cameras": 0.15, "kick": 0.3}
# How long the policy's plans are under way in a scene of corrections [s], one of these.
_LATE_S = (0.0, 0.0, 0.1, 0.2)
_DISTURBANCE_STREAM = 4
_AFTER_SUCCESS_S = 0.25


def draw_disturbance(task: str, seed: int, shares: dict[str, float]) -> str:
    """Which disturbance, if any, the scene of `task` and `seed` is recorded under."""
    point = np.random.default_rng([seed, TASKS.index(task), _DISTURBANCE_STREAM]).random()
    for name, share in shares.items():
        if point < share:
            return name
        point -= share
    return ""


def record_demonstration(
    world: TabletopSim, robot: RobotConfig, task: str, seed: int
) -> EpisodeData | None:
    """One noisy expert episode; `None` when it did not succeed."""
    rng = np.random.default_rng([seed, TASKS.index(task), 1])
    episode = world.reset(seed=seed, task=task)
    rows: list[Row] = []
    expert = ExpertPolicy(robot, world, noise=Noise(rng), rows=rows, rest_rad=draw_posture(rng))
    wander(world, expert.expert, rng)
    if world.success:
        return None
    outcome = run_episode(
        world, expert, step_by_step(robot, STEP_S), after_success_s=_AFTER_SUCCESS_S
    )
    return _episode_data(episode, rows) if outcome.success else None


def record_moments(
    world: TabletopSim, robot: RobotConfig, task: str, seed: int
) -> list[EpisodeData]:
    """The first moment of a scene, a row long: what to do now if asked for this, or for that."""
    rng = np.random.default_rng([seed, TASKS.index(task), 1])
    world.reset(seed=seed, task=task)
    expert = ExpertPolicy(robot, world, rest_rad=draw_posture(rng))
    wander(world, expert.expert, rng)
    observation = look(world, "")
    episodes = []
    for request in requests_for(rng, world.layout.colors):
        template = str(rng.choice(TEMPLATES[request.task]))
        episode = world.ask(request, write_instruction(request, template))
        expert.rows = []
        expert.infer(observation)
        episodes.append(_episode_data(episode, expert.rows))
    return episodes


def record_corrections(
    world: TabletopSim, robot: RobotConfig, policy: Policy, task: str, seed: int
) -> list[EpisodeData]:
    """What the expert does where `policy` got to, turn by turn; nothing if all ends in failure."""
    rng = np.random.default_rng([seed, TASKS.index(task), 1])
    episode = world.reset(seed=seed, task=task)
    expert = ExpertPolicy(robot, world, rest_rad=draw_posture(rng))
    late_s = float(rng.choice(_LATE_S))
    both = TakeTurns(policy, expert, robot.chunks.execute_s, rng, late_s=late_s)
    outcome = run_episode(
        world, both, step_by_step(robot, STEP_S), after_success_s=_AFTER_SUCCESS_S
    )
    return [_episode_data(episode, rows) for rows in both.turns if rows and outcome.success]


def _episode_data(episode: Episode, rows: list[Row]) -> EpisodeData:
    states = [
        np.append(row.observation.state.position_rad, row.observation.state.gripper_open or 0.0)
        for row in rows
    ]
    frames = {
        name: np.stack(
            [
                resize(row.observation.frames[name].pixels, PICTURE_PX, PICTURE_PX, "letterbox")
                for row in rows
            ]
        )
        for name in CAMERAS
    }
    return EpisodeData(
        frames=frames,
        state=np.stack(states).astype(np.float32),
        action=np.stack([row.action for row in rows]).astype(np.float32),
        target_m=np.stack([row.target_m for row in rows]).astype(np.float32),
        target_uv=np.stack([row.target_uv for row in rows]).astype(np.float32),
        **vars(episode),
    )
