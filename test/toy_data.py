"""A tiny dataset in memory, and options that suit it, for tests that train."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_ros.learn.dataset import Dataset
from vla_ros.learn.episode import EpisodeInfo
from vla_ros.learn.train_options import TrainOptions
from vla_ros.robot_config import RobotConfig
from vla_ros.share import share_path

TASKS = ("pick_object", "open_drawer")
LENGTH, EPISODES = 12, 10
TOY_OPTIONS = TrainOptions(
    data=Path("toy"),
    robot_file=share_path("config/panda.yaml"),
    preset="tiny",
    samples=80,
    batch=8,
    device="cpu",
)


def toy_dataset(robot: RobotConfig, count: int = EPISODES) -> Dataset:
    """The bright half of each picture tells the action; every third episode is the rarer task."""
    rng, rows = np.random.default_rng(0), LENGTH * count
    right = np.repeat(np.arange(count) // 2 % 2, LENGTH)
    pixels = np.full((rows, 32, 32, 3), 50, np.uint8)
    pixels[right == 0, :, :16] = pixels[right == 1, :, 16:] = 200
    state = rng.normal(0, 0.01, (rows, 8)).astype(np.float32)
    action = np.repeat(0.1 * right[:, None], 8, axis=1).astype(np.float32)
    action[:, 7] = right
    target_m = np.stack([right, right, right], axis=1).astype(np.float32)
    target_m[: LENGTH // 2] = np.nan
    episodes = tuple(
        EpisodeInfo(
            instruction="open the drawer" if i % 3 == 0 else f"pick the {['red', 'blue'][i % 2]}",
            task=TASKS[i % 3 == 0],
            color="",
            direction="",
            place="",
            seed=i,
            start=i * LENGTH,
            stop=(i + 1) * LENGTH,
        )
        for i in range(count)
    )
    return Dataset(
        frames={"front": pixels, "wrist": 255 - pixels},  # type: ignore[dict-item]
        state=state,
        action=action,
        target_m=target_m,
        target_uv=np.repeat(target_m[:, None, :2] - 0.5, 2, axis=1),
        episodes=episodes,
        fps=20.0,
        robot="panda",
        state_names=robot.action_names,
        action_names=robot.action_names,
    )
