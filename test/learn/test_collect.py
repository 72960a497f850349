"""Collecting: a plan by shares, and episodes that the trainer's reader finds again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from untrained import write_untrained_checkpoint

from vla_ros import cli
from vla_ros.datatypes import ActionChunk, ActionPrefix, Observation, RobotState
from vla_ros.learn.collect import FIRST_CORRECTION, FIRST_SEED, plan
from vla_ros.learn.corrections import TakeTurns
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.expert_policy import ExpertPolicy
from vla_ros.learn.recording import CORRECTION_SHARES, DEMONSTRATION_SHARES, draw_disturbance
from vla_ros.learn.rollout import look
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path
from vla_ros.sim.disturbance import DISTURBANCES
from vla_ros.sim.tasks import HELDOUT_PAIRS, TASKS
from vla_ros.sim.world import TabletopSim


def test_plan_mixes_the_tasks_and_has_each_scene_once() -> None:
    jobs = plan(200, 10)
    assert len(set(jobs)) == len(jobs) == 200
    assert {task for task, _ in jobs[:25]} == set(TASKS)
    assert min(seed for _, seed in jobs) == 10


def test_collected_episodes_can_be_read_and_a_second_run_adds_the_rest(tmp_path: Path) -> None:
    root = tmp_path / "data"
    command = f"collect --out {root} --jobs 1 --seed 300 --episodes"
    assert cli.main([*command.split(), "4"]) == 0
    first = len(Dataset.open(root).episodes)
    assert 1 <= first <= 4
    assert cli.main([*command.split(), "9"]) == 0
    dataset = Dataset.open(root)
    assert first < len(dataset.episodes) <= 9
    assert dataset.fps == 10
    assert dataset.action_names == dataset.state_names
    episode = dataset.episodes[0]
    rows = slice(episode.start, episode.stop)
    assert dataset.frames["front"][rows].std() > 15
    # The target leads the measured state by a little, and is never far from it.
    lead = np.abs(dataset.action[rows, :7] - dataset.state[rows, :7])
    assert 0 < lead.max() < 0.8


@pytest.mark.parametrize("episodes", [1, 4, 6, 20, 3000])
def test_as_many_episodes_are_planned_as_were_asked_for(episodes: int) -> None:
    assert len(set(plan(episodes, 10))) == episodes


def test_moments_ask_for_each_block_and_the_drawer_of_one_scene(tmp_path: Path) -> None:
    root = tmp_path / "data"
    command = f"collect --out {root} --jobs 1 --seed 300 --episodes 0 --moments 5".split()
    assert cli.main(command) == 0
    dataset = Dataset.open(root)
    assert len(dataset) == len(dataset.episodes) == 20
    first = dataset.episodes[:4]
    assert len({info.color for info in first}) == 4
    assert len({info.instruction for info in first}) == 4
    assert {info.seed for info in first} == {first[0].seed}
    assert not {(info.task, info.color) for info in dataset.episodes} & HELDOUT_PAIRS
    # One look at the scene for all, and another place for each.
    assert (dataset.state[:4] == dataset.state[0]).all()
    assert len(np.unique(dataset.target_uv[:4, 0], axis=0)) == 4
    assert cli.main(command) == 0
    assert len(Dataset.open(root).episodes) == 20


def test_corrections_are_what_the_expert_does_where_a_policy_got_to(tmp_path: Path) -> None:
    checkpoint = write_untrained_checkpoint(tmp_path / "checkpoint")
    root = tmp_path / "data"
    command = f"collect --out {root} --jobs 1 --episodes 0 --corrections 4 --checkpoint"
    assert cli.main([*command.split(), str(checkpoint)]) == 0
    dataset = Dataset.open(root)
    by_scene = Counter(info.seed for info in dataset.episodes)
    first = FIRST_SEED + FIRST_CORRECTION
    assert set(by_scene) <= set(range(first, first + 4))
    # The expert has several turns in a scene, and every one but the last ends after 2.2 s.
    assert max(by_scene.values()) > 1
    lengths = [info.stop - info.start for info in dataset.episodes]
    assert 12 <= np.median(lengths) <= 23
    assert cli.main([*command.split(), str(checkpoint)]) == 0
    assert len(Dataset.open(root).episodes) == len(dataset.episodes)


def test_the_policy_and_the_expert_take_turns() -> None:
    robot = load_robot(share_path("config/panda.yaml"))
    world = TabletopSim()
    world.reset(seed=5, task="pick_object")
    expert = ExpertPolicy(robot, world)
    still = Still(world.state())
    both = TakeTurns(still, expert, 0.3, np.random.default_rng(0))
    now_s, drivers = 0.0, []
    while now_s < 12.0:
        chunk = both.infer(replace(look(world, ""), stamp_s=now_s))
        drivers.append(bool((chunk.actions[0] == still.action).all()))
        now_s += 0.1
    changes = np.flatnonzero(np.diff(drivers))
    assert drivers[0]
    assert len(changes) >= 5
    assert not any(drivers[91:])
    # A plan is followed for three steps, and given up at the end of a turn.
    assert still.plans >= sum(drivers) / 3
    assert still.plans <= sum(drivers) / 3 + len(changes)
    assert sum(map(len, both.turns)) == len(drivers) - sum(drivers)


def test_a_late_plan_is_followed_where_the_one_before_ends() -> None:
    robot = load_robot(share_path("config/panda.yaml"))
    world = TabletopSim()
    world.reset(seed=5, task="pick_object")
    observation = look(world, "")
    both = TakeTurns(
        Marking(), ExpertPolicy(robot, world), 0.3, np.random.default_rng(0), late_s=0.2
    )
    steps = []
    for tick in range(9):  # in the policy's first turn, which lasts for 2.7 s with that seed
        made_s, step = both.infer(replace(observation, stamp_s=0.1 * tick)).actions[0, :2]
        assert made_s + 0.1 * step == pytest.approx(0.1 * tick)
        steps.append(int(step))
    assert steps == [0, 1, 2, 3, 4, 2, 3, 4, 2]


def test_a_share_of_the_scenes_is_disturbed_and_always_the_same_ones() -> None:
    shares = {"cameras": 0.2, "kick": 0.3}
    names = [draw_disturbance("push_object", seed, shares) for seed in range(1000)]
    found = Counter(names)
    assert set(found) == {"", "cameras", "kick"}
    assert 160 <= found["cameras"] <= 240
    assert 255 <= found["kick"] <= 345
    assert names == [draw_disturbance("push_object", seed, shares) for seed in range(1000)]
    assert set(CORRECTION_SHARES) | set(DEMONSTRATION_SHARES) <= set(DISTURBANCES)


class Marking:
    """A policy whose steps tell when it was asked, and which step of the plan they are."""

    def reset(self) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """Ten steps."""
        actions = np.zeros((10, 8))
        actions[:, 0], actions[:, 1] = observation.stamp_s, np.arange(10)
        return ActionChunk(
            actions=actions,
            start_s=observation.stamp_s,
            step_s=0.1,
            epoch=observation.epoch,
            inference_s=0.0,
        )


class Still:
    """A policy that stays where the arm was."""

    def __init__(self, state: RobotState) -> None:
        self.action = np.append(state.position_rad, 1.0)
        self.plans = 0

    def reset(self) -> None:
        """Nothing to forget."""

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """Ten steps of the same."""
        self.plans += 1
        return ActionChunk(
            actions=np.tile(self.action, (10, 1)),
            start_s=observation.stamp_s,
            step_s=0.1,
            epoch=observation.epoch,
            inference_s=0.0,
        )
