"""One part of a dataset while it is written: a video per camera, a data table, an episode table.

A part counts from the moment its episode table is in place. That table is put there last, so a
part that was cut short is never mistaken for a whole one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vla_ros.durable import put_in_place
from vla_ros.learn.dataset_format import (
    CAMERA_PREFIX,
    DATA_PATH,
    EPISODES_PATH,
    INDEX_COLUMNS,
    SCENE_SEED,
    SCENE_TEXTS,
    VIDEO_PATH,
    DatasetLayout,
    file_indices,
    vectors_of,
    write_table,
)
from vla_ros.learn.episode import EpisodeData
from vla_ros.learn.statistics import Statistics, as_json, image_statistics, vector_statistics
from vla_ros.learn.video import VideoEncoder

PARTIAL_FOLDER = ".partial"


class DatasetPart:
    """Collects episodes; nothing of it counts before `commit`.

    Args:
        root: Folder of the dataset.
        layout: What all episodes have in common.
        part: Number of the part, from 0.
        first_row: Number of rows in the dataset before this part.
    """

    def __init__(self, root: Path, layout: DatasetLayout, part: int, first_row: int) -> None:
        self._root, self._layout = root, layout
        self._indices = file_indices(part)
        self._first_row = first_row
        self._tables: list[pa.Table] = []
        self._episodes: list[dict[str, Any]] = []
        self._videos = {name: self._open_video(name) for name in layout.cameras}

    @property
    def episodes(self) -> int:
        """Number of episodes in it."""
        return len(self._episodes)

    @property
    def rows(self) -> int:
        """Number of rows in it."""
        return sum(table.num_rows for table in self._tables)

    def add(self, episode: EpisodeData, number: int, task_index: int) -> dict[str, Statistics]:
        """Take a checked episode as the dataset's `number`-th; give its statistics."""
        # Counted by each video: an interrupted episode may have left frames in some.
        first_frames = {name: video.frames for name, video in self._videos.items()}
        first_row = self._first_row + self.rows
        columns = _columns(episode, self._layout.fps, number, first_row, task_index)
        statistics = {key: vector_statistics(_as_rows(values)) for key, values in columns.items()}
        for name, video in self._videos.items():
            video.add(episode.frames[name])
            statistics[CAMERA_PREFIX + name] = image_statistics(episode.frames[name])
        self._tables.append(pa.table({key: _arrow(values) for key, values in columns.items()}))
        record = self._record(episode, number, first_row, first_frames)
        self._episodes.append(record | _flat(statistics))
        return statistics

    def commit(self) -> None:
        """Put the files in place, the table of episodes last."""
        for name, video in self._videos.items():
            video.close()
            target = self._root / self._video_path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            put_in_place(self._partial_video(name), target)
        write_table(self._root / DATA_PATH.format(**self._indices), pa.concat_tables(self._tables))
        write_table(
            self._root / EPISODES_PATH.format(**self._indices),
            pa.Table.from_pylist(self._episodes),
        )

    def abandon(self) -> None:
        """Drop what is not in place yet."""
        for name, video in self._videos.items():
            with contextlib.suppress(OSError, av.error.FFmpegError):
                video.abandon()
            self._partial_video(name).unlink(missing_ok=True)

    def _open_video(self, name: str) -> VideoEncoder:
        layout = self._layout
        return VideoEncoder(
            self._partial_video(name),
            fps=layout.fps,
            height_px=layout.height_px,
            width_px=layout.width_px,
        )

    def _video_path(self, name: str) -> str:
        return VIDEO_PATH.format(video_key=CAMERA_PREFIX + name, **self._indices)

    def _partial_video(self, name: str) -> Path:
        return self._root / PARTIAL_FOLDER / self._video_path(name)

    def _record(
        self,
        episode: EpisodeData,
        number: int,
        first_row: int,
        first_frames: Mapping[str, int],
    ) -> dict[str, Any]:
        """The episode's line in the table of episodes, without its statistics."""
        record: dict[str, Any] = {
            "episode_index": number,
            "tasks": [episode.instruction],
            "length": len(episode),
            "dataset_from_index": first_row,
            "dataset_to_index": first_row + len(episode),
        }
        for prefix in ("data", "meta/episodes"):
            record |= {f"{prefix}/{key}": value for key, value in self._indices.items()}
        for name, first_frame in first_frames.items():
            prefix = f"videos/{CAMERA_PREFIX}{name}"
            record |= {f"{prefix}/{key}": value for key, value in self._indices.items()}
            record[f"{prefix}/from_timestamp"] = first_frame / self._layout.fps
            record[f"{prefix}/to_timestamp"] = (first_frame + len(episode)) / self._layout.fps
        record |= {f"scene/{key}": getattr(episode, key) for key in SCENE_TEXTS}
        return record | {SCENE_SEED: int(episode.seed)}


def _columns(
    episode: EpisodeData, fps: int, number: int, first_row: int, task_index: int
) -> dict[str, NDArray[Any]]:
    rows = np.arange(len(episode), dtype=np.int64)
    indices = (rows, np.full_like(rows, number), first_row + rows, np.full_like(rows, task_index))
    return {
        **{key: values.astype(np.float32) for key, values in vectors_of(episode).items()},
        "timestamp": (rows / fps).astype(np.float32),
        **dict(zip(INDEX_COLUMNS, indices, strict=True)),
    }


def _as_rows(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.ndim == 2 else values[:, None]


def _arrow(values: NDArray[Any]) -> pa.Array:
    """A column; LeRobot keeps vectors of length 1 as plain numbers."""
    if values.ndim == 1 or values.shape[1] == 1:
        return pa.array(values.ravel())
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _flat(statistics: dict[str, Statistics]) -> dict[str, Any]:
    return {
        f"stats/{key}/{name}": values
        for key, feature in as_json(statistics).items()
        for name, values in feature.items()
    }
