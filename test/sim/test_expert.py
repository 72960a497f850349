"""The scripted experts, through the control loop that runs policies.

`evaluate --policy expert --episodes 100` measures them; here a few seeds guard against breakage.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_ros.learn.expert_policy import STEP_S, ExpertPolicy, Noise, Row
from vla_ros.learn.rollout import run_episode, step_by_step
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.share import share_path
from vla_ros.sim.expert_moves import next_move
from vla_ros.sim.layout import HOME_RAD
from vla_ros.sim.tasks import TASKS
from vla_ros.sim.world import TabletopSim


@pytest.fixture(scope="module")
def robot() -> RobotConfig:
    return load_robot(share_path("config/panda.yaml"))


@pytest.fixture(scope="module")
def world() -> Iterator[TabletopSim]:
    simulation = TabletopSim(render_px=32)
    yield simulation
    simulation.close()


@pytest.mark.parametrize("task", TASKS)
def test_expert_does_its_task_and_touches_the_named_block_first(
    world: TabletopSim, robot: RobotConfig, task: str
) -> None:
    for seed in (1, 2):
        episode = world.reset(seed=seed, task=task)
        expert = ExpertPolicy(robot, world)
        outcome = run_episode(world, expert, step_by_step(robot, STEP_S))
        assert outcome.success
        assert 1.0 < outcome.reward <= 2.0 + 1e-9
        if episode.color:
            assert outcome.first_touched == episode.color


@pytest.mark.parametrize("off", ["aside", "turned"])
def test_what_is_too_far_off_to_come_down_is_near_enough_to_close(
    world: TabletopSim, off: str
) -> None:
    world.reset(seed=1, task="pick_object")
    above_m = world.target_m
    yaw_rad = next_move(world, above_m, 0.0).yaw_rad
    if off == "aside":
        above_m[0] += 0.015
    else:
        yaw_rad += 0.25
    high, low = above_m.copy(), above_m.copy()
    high[2], low[2] = 0.085, 0.025

    stays = next_move(world, high, yaw_rad)
    assert stays.tip_m[2] >= high[2]
    assert stays.gripper_open == 1.0
    assert next_move(world, low, yaw_rad).gripper_open == 0.0


def test_expert_comes_to_the_same_place_in_the_posture_it_is_to_keep(
    world: TabletopSim, robot: RobotConfig
) -> None:
    other_rad = HOME_RAD + np.array([0.1, 0.0, -0.1, 0.0, 0.1, 0.0, 0.0])
    joints_rad = []
    for rest_rad in (HOME_RAD, other_rad):
        world.reset(seed=1, task="pick_object")
        expert = ExpertPolicy(robot, world, rest_rad=rest_rad)
        assert run_episode(world, expert, step_by_step(robot, STEP_S)).success
        joints_rad.append(world.state().position_rad)
    assert (
        np.linalg.norm(np.diff(robot.chain.forward(np.stack(joints_rad))[:, :3, 3], axis=0)) < 0.01
    )
    assert np.abs(joints_rad[0] - joints_rad[1]).max() > 0.03


def test_rows_hold_the_undisturbed_action_while_noise_is_executed(
    world: TabletopSim, robot: RobotConfig
) -> None:
    world.reset(seed=3, task="pick_object")
    rows: list[Row] = []
    noise = Noise(np.random.default_rng(0))
    noise.enabled = True
    expert = ExpertPolicy(robot, world, noise=noise, rows=rows)
    executed = []

    class Listening:
        spec = expert.spec

        def reset(self) -> None:
            expert.reset()

        def infer(self, observation, prefix=None):  # type: ignore[no-untyped-def]
            chunk = expert.infer(observation, prefix)
            executed.append(chunk.actions[0])
            return chunk

    run_episode(world, Listening(), step_by_step(robot, STEP_S))
    wanted = np.array([row.action for row in rows])
    differs = np.abs(wanted - np.array(executed)).max(axis=1) > 0
    assert 0 < differs.mean() < 0.9
    stamps_s = np.array([row.observation.stamp_s for row in rows])
    np.testing.assert_allclose(np.diff(stamps_s), STEP_S, atol=0.0101)
