"""Collecting: a plan by shares, and episodes that the trainer's reader finds again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_ros import cli
from vla_ros.learn.collect import plan
from vla_ros.learn.dataset import Dataset
from vla_ros.sim.tasks import TASKS


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
