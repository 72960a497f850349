"""The LeRobotDataset v3.0 layout on disk: paths, `info.json`, the tables' columns.

Read by `dataset_reader`, written by `dataset_writer`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.durable import replace_file
from vla_ros.learn.episode import EpisodeData, Float32Array

VERSION = "v3.0"
FILES_PER_CHUNK = 1000
PIXEL_FORMAT = "yuv444p"

STATE = "observation.state"
ACTION = "action"
# Not under `observation.`: there other people's training would feed it to their policies.
TARGET = "target.position"
TARGET_SEEN = "target.in_pictures"
CAMERA_PREFIX = "observation.images."

INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{_FILE}.parquet"
EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"

SCENE_TEXTS = ("task", "color", "direction", "place")
SCENE_SEED = "scene/seed"
INDEX_COLUMNS = ("frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True, kw_only=True)
class DatasetLayout:
    """What every episode of a dataset has in common.

    Attributes:
        robot: Name of the robot.
        fps: Rows a second.
        cameras: Names of the cameras.
        height_px: Height of the pictures.
        width_px: Width of the pictures.
        state_names: Names of the S entries of a state.
        action_names: Names of the A entries of an action.
        has_target: Whether it says where the named object is.
    """

    robot: str
    fps: int
    cameras: tuple[str, ...]
    height_px: int
    width_px: int
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    has_target: bool = True

    def vectors(self) -> dict[str, tuple[str, ...]]:
        """Names of the entries of each vector column."""
        names = {STATE: self.state_names, ACTION: self.action_names}
        if not self.has_target:
            return names
        seen = tuple(f"{camera}.{axis}" for camera in self.cameras for axis in ("right", "down"))
        return {**names, TARGET: ("x", "y", "z"), TARGET_SEEN: seen}

    def features(self) -> dict[str, dict[str, Any]]:
        """The `features` of `info.json`."""
        features: dict[str, dict[str, Any]] = {
            key: {"dtype": "float32", "shape": [len(names)], "names": list(names)}
            for key, names in self.vectors().items()
        }
        for camera in self.cameras:
            features[CAMERA_PREFIX + camera] = self._camera_feature()
        features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
        for key in INDEX_COLUMNS:
            features[key] = {"dtype": "int64", "shape": [1], "names": None}
        return features

    def _camera_feature(self) -> dict[str, Any]:
        return {
            "dtype": "video",
            "shape": [self.height_px, self.width_px, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": self.height_px,
                "video.width": self.width_px,
                "video.codec": "h264",
                "video.pix_fmt": PIXEL_FORMAT,
                "video.is_depth_map": False,
                "video.fps": self.fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }

    def info(self, *, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
        """The whole of `info.json`."""
        return {
            "codebase_version": VERSION,
            "robot_type": self.robot,
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": tasks,
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self.fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": self.features(),
        }

    def problems_of(self, episode: EpisodeData) -> list[str]:
        """What keeps `episode` out of this dataset, one sentence each."""
        rows = len(episode)
        problems = [] if rows > 0 else ["it has no rows"]
        if not episode.instruction.strip():
            problems.append("its instruction is empty")
        values = vectors_of(episode)
        for key, names in self.vectors().items():
            problems += (
                _vector_problems(key, values[key], (rows, len(names)))
                if key in values
                else [f"{key}: it is missing"]
            )
        problems += [
            f"{key}: the dataset has no such column" for key in values.keys() - self.vectors()
        ]
        if set(episode.frames) != set(self.cameras):
            problems.append(f"its cameras are {sorted(episode.frames)}, not {sorted(self.cameras)}")
        shape = (rows, self.height_px, self.width_px, 3)
        for name, frames in episode.frames.items():
            if frames.shape != shape or frames.dtype != np.uint8:
                problems.append(
                    f"frames of {name}: {frames.dtype} {frames.shape}, not uint8 {shape}"
                )
        return problems


def vectors_of(episode: EpisodeData) -> dict[str, Float32Array]:
    """The vector columns of an episode, each (N, D)."""
    values = {STATE: episode.state, ACTION: episode.action}
    if episode.target_m is not None:
        values[TARGET] = episode.target_m
    if episode.target_uv is not None:
        values[TARGET_SEEN] = episode.target_uv.reshape(len(episode.target_uv), -1)
    return values


def _vector_problems(key: str, values: np.ndarray[Any, Any], shape: tuple[int, int]) -> list[str]:
    if values.shape != shape:
        return [f"{key}: its shape is {values.shape}, not {shape}"]
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        return [f"{key}: row {row} is not finite: {values[row].tolist()}"]
    return []


def file_indices(part: int) -> dict[str, int]:
    """Chunk and file index of the `part`-th file."""
    return {"chunk_index": part // FILES_PER_CHUNK, "file_index": part % FILES_PER_CHUNK}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content`; refuses NaN, which is no JSON."""
    text = json.dumps(content, indent=4, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode())


def write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, sink.getvalue().to_pybytes())


def tasks_table(instructions: Sequence[str]) -> pa.Table:
    """`tasks.parquet`: a pandas frame of `task_index` indexed by the instruction's text."""
    # pandas is not needed to write one: it reads its index from this metadata.
    column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    index = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [{"name": None, "field_name": None, **index}],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": "task", "field_name": "task", **index},
        ],
        "pandas_version": "2.0.0",
    }
    columns = {
        "task_index": pa.array(range(len(instructions)), pa.int64()),
        "task": pa.array(list(instructions), pa.string()),
    }
    return pa.table(columns).replace_schema_metadata({"pandas": json.dumps(pandas)})
