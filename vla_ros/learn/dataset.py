"""A dataset of demonstrations in memory, ready to train on.

dataset = Dataset.open("data/tabletop")
dataset.frames["front"][dataset.episodes[0].start]  # uint8 (H, W, 3)
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset_info import read_info
from vla_ros.learn.dataset_reader import EpisodeRows, read_episodes
from vla_ros.learn.episode import EpisodeInfo, Float32Array
from vla_ros.learn.frame_cache import Frames, cached_frames

CACHE_FOLDER = ".frames_cache"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """All whole episodes of a LeRobotDataset v3.0, their N rows one after another.

    Attributes:
        frames: By camera name: uint8 (N, H, W, 3) RGB, mapped from the disk, read-only.
        state: Shape (N, S).
        action: Shape (N, A): absolute targets due one row later.
        target_m: Shape (N, 3): position of the named object in the base frame; NaN where unknown.
        target_uv: Shape (N, C, 2): where each camera sees it; see `EpisodeData`; NaN where unknown.
        episodes: In the order of their rows.
        fps: Rows a second.
        robot: Name of the robot; empty when the dataset does not say.
        state_names: Names of the S entries of a state.
        action_names: Names of the A entries of an action.
    """

    frames: Mapping[str, Frames]
    state: Float32Array
    action: Float32Array
    target_m: Float32Array
    target_uv: Float32Array
    episodes: tuple[EpisodeInfo, ...]
    fps: float
    robot: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.state)

    @classmethod
    def open(cls, root: Path | str, cache: Path | str | None = None) -> Dataset:
        """Read a dataset; broken episodes are named in a warning and left out.

        The first time, all pictures are decoded into the folder `cache` (by default
        `.frames_cache` in `root`), which takes H * W * 3 bytes a picture.

        Raises:
            DatasetError: It is no LeRobotDataset v3.0, or has no whole episode.
        """
        root = Path(root)
        info = read_info(root)
        episodes = list(read_episodes(info))
        frames, broken = cached_frames(Path(cache or root / CACHE_FOLDER), info, episodes)
        for reason in dict.fromkeys(broken.values()):
            numbers = [str(number) for number, why in broken.items() if why == reason]
            _log.warning("skipping episode(s) %s: %s", ", ".join(numbers), reason)
        episodes = [episode for episode in episodes if episode.number not in broken]
        if not episodes:
            raise DatasetError(f"dataset {root} has no whole episode; the warnings name the broken")
        state = np.concatenate([episode.state for episode in episodes])
        action = np.concatenate([episode.action for episode in episodes])
        return cls(
            frames=frames,
            state=state,
            action=action,
            target_m=np.concatenate([episode.target_m for episode in episodes]),
            target_uv=np.concatenate([episode.target_uv for episode in episodes]),
            episodes=_infos(episodes),
            fps=info.fps,
            robot=info.robot,
            state_names=info.state_names,
            action_names=info.action_names,
        )


def _infos(episodes: Sequence[EpisodeRows]) -> tuple[EpisodeInfo, ...]:
    stops = np.cumsum([len(episode.state) for episode in episodes]).tolist()
    return tuple(
        EpisodeInfo(
            instruction=episode.instruction,
            task=episode.text("task"),
            color=episode.text("color"),
            direction=episode.text("direction"),
            place=episode.text("place"),
            seed=episode.seed,
            start=stop - len(episode.state),
            stop=stop,
        )
        for episode, stop in zip(episodes, stops, strict=True)
    )
