"""Collecting: a plan by shares, and episodes that the trainer's reader finds again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_ros import cli
from vla_ros.learn.collect import plan
from vla_ros.learn.dataset import Dataset
from vla_ros.sim.tasks import HELDOUT_PAIRS, TASKS


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
