"""Write a LeRobotDataset v3.0 that survives being interrupted at any moment.

Episodes go into parts of some dozens (see `dataset_part`). What is on disk is always a whole
dataset of the parts finished so far; opening the folder again continues after them.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset_format import (
    FILES_PER_CHUNK,
    INFO_PATH,
    SCENE_SEED,
    STATS_PATH,
    TASKS_PATH,
    DatasetLayout,
    tasks_table,
    write_json,
    write_table,
)
from vla_ros.learn.dataset_part import PARTIAL_FOLDER, DatasetPart
from vla_ros.learn.episode import EpisodeData
from vla_ros.learn.folder_lock import lock_folder
from vla_ros.learn.statistics import NAMES, Statistics, as_json, combine

EPISODES_PER_PART = 64
_LOCK = ".writer.lock"
_DISK_ERRORS = (OSError, av.error.FFmpegError)

_log = logging.getLogger(__name__)


class DatasetWriter:
    """Adds episodes to a dataset folder, new or begun earlier.

    Use it as a context manager, or call `close`: what was added since the last full part is
    written then.

    Args:
        root: Folder of the dataset; made when missing.
        robot: Name of the robot.
        fps: Rows a second.
        cameras: Names of the cameras.
        height_px: Height of the pictures.
        width_px: Width of the pictures.
        state_names: Names of the S entries of a state.
        action_names: Names of the A entries of an action.
        has_target: Whether the episodes say where the named object is.
        episodes_per_part: Episodes in a file; also the most that an interruption can lose.

    Raises:
        DatasetError: The folder holds a dataset of another layout, somebody is writing to it, or it
            cannot be written.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        robot: str,
        fps: int,
        cameras: Sequence[str],
        height_px: int,
        width_px: int,
        state_names: Sequence[str],
        action_names: Sequence[str],
        has_target: bool = True,
        episodes_per_part: int = EPISODES_PER_PART,
    ) -> None:
        self._root = Path(root)
        self._layout = DatasetLayout(
            robot=robot,
            fps=fps,
            cameras=tuple(cameras),
            height_px=height_px,
            width_px=width_px,
            state_names=tuple(state_names),
            action_names=tuple(action_names),
            has_target=has_target,
        )
        self._episodes_per_part = episodes_per_part
        self._root.mkdir(parents=True, exist_ok=True)
        self._lock = _take_lock(self._root)
        self._part: DatasetPart | None = None
        self._next_part, self._episodes, self._rows = 0, 0, 0
        self._task_indices: dict[str, int] = {}
        self._seeds: set[tuple[str, int]] = set()
        self._statistics: dict[str, Statistics] = {}
        try:
            self._resume()
        except BaseException as error:
            self._lock.close()
            if isinstance(error, _DISK_ERRORS):
                raise DatasetError(f"dataset {root} cannot be written: {error}") from error
            raise

    @property
    def seeds(self) -> Set[tuple[str, int]]:
        """Task and seed of every episode added so far, earlier sessions included."""
        return self._seeds

    @property
    def episodes(self) -> int:
        """Number of episodes added so far, earlier sessions included."""
        return self._episodes

    @property
    def rows(self) -> int:
        """Number of rows added so far, earlier sessions included."""
        return self._rows

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing more: it was closed, or the disk refused something."""
        return self._lock.closed

    def add(self, episode: EpisodeData) -> None:
        """Append an episode.

        Raises:
            DatasetError: The episode does not fit the dataset and is left out whole; or the disk
                cannot be written, the part is lost and the writer is closed.
        """
        self._check_open()
        problems = self._layout.problems_of(episode)
        if problems:
            raise DatasetError(
                f"episode of {episode.task!r}, seed {episode.seed}, is refused by the dataset "
                f"{self._root}: " + "; ".join(problems)
            )
        task_index = self._task_indices.setdefault(episode.instruction, len(self._task_indices))
        try:
            if self._part is None:
                self._part = DatasetPart(self._root, self._layout, self._next_part, self._rows)
            self._count(self._part.add(episode, self._episodes, task_index))
        except _DISK_ERRORS as error:
            part, self._part = self._part, None
            raise self._lost(part, error) from error
        self._seeds.add((episode.task, int(episode.seed)))
        self._episodes += 1
        self._rows += len(episode)
        if self._part.episodes >= self._episodes_per_part:
            self.flush()

    def flush(self) -> None:
        """Finish the part under way, so that nothing added so far can be lost.

        Raises:
            DatasetError: The disk cannot be written; the part is lost and the writer is closed.
        """
        self._check_open()
        if self._part is None:
            return
        part, self._part = self._part, None
        try:
            # The tasks come first: a row must never name a task that the table lacks.
            write_table(self._root / TASKS_PATH, tasks_table(list(self._task_indices)))
            part.commit()
            self._write_totals()
        except _DISK_ERRORS as error:
            raise self._lost(part, error) from error
        self._next_part += 1

    def _lost(self, part: DatasetPart | None, error: Exception) -> DatasetError:
        """Close, without what is not in place yet."""
        if part is not None:
            part.abandon()
        self._lock.close()
        saved = self._episodes - (0 if part is None else part.episodes)
        return DatasetError(
            f"dataset {self._root} cannot be written: {error}; it has the episodes before "
            f"{saved}, open it again to continue after them"
        )

    def close(self) -> None:
        """Finish the part under way and let others write; a second call does nothing."""
        if self.is_closed:
            return
        try:
            self.flush()
        finally:
            self._lock.close()

    def _check_open(self) -> None:
        if self.is_closed:
            raise DatasetError(f"the writer of dataset {self._root} is closed; open it again")

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _count(self, statistics: dict[str, Statistics]) -> None:
        for key, feature in statistics.items():
            known = self._statistics.get(key)
            self._statistics[key] = feature if known is None else combine(known, feature)

    def _write_totals(self) -> None:
        if self._statistics:
            write_json(self._root / STATS_PATH, as_json(self._statistics))
        tasks = len(self._task_indices)
        info = self._layout.info(episodes=self._episodes, frames=self._rows, tasks=tasks)
        write_json(self._root / INFO_PATH, info)

    def _resume(self) -> None:
        """Take up what is on disk: the finished parts, and nothing else."""
        _check_same_layout(self._root, self._layout)
        for part, table in _finished_parts(self._root):
            self._next_part = part + 1
            for record in table.to_pylist():
                self._take_up(record)
        _drop_leftovers(self._root, self._next_part)
        self._write_totals()
        if self._episodes:
            _log.info("dataset %s: continuing after %d episodes", self._root, self._episodes)

    def _take_up(self, record: dict[str, Any]) -> None:
        if record["episode_index"] != self._episodes:
            raise DatasetError(
                f"dataset {self._root}: episode {self._episodes} is missing in meta/episodes; "
                f"collect into a new folder"
            )
        self._episodes += 1
        self._rows = record["dataset_to_index"]
        self._seeds.add((record["scene/task"], record[SCENE_SEED]))
        self._task_indices.setdefault(record["tasks"][0], len(self._task_indices))
        keys = {key.split("/")[1] for key in record if key.startswith("stats/")}
        self._count(
            {
                key: {name: np.asarray(record[f"stats/{key}/{name}"], float) for name in NAMES}
                for key in keys
            }
        )


def _take_lock(root: Path) -> IO[str]:
    lock = lock_folder(root, _LOCK)
    if lock is None:
        raise DatasetError(
            f"dataset {root} is being written by another process; wait for it or choose "
            f"another folder"
        )
    return lock


def _check_same_layout(root: Path, layout: DatasetLayout) -> None:
    path = root / INFO_PATH
    if not path.exists():
        # It is the first file of a dataset.
        if any((root / "meta/episodes").glob("*/*.parquet")):
            raise DatasetError(f"dataset {root} lacks {INFO_PATH}; choose another folder")
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise DatasetError(f"{path} is no valid JSON: {error}") from error
    wanted = layout.info(episodes=0, frames=0, tasks=0)
    differ = [
        f"{key}: it has {found.get(key)!r}, wanted is {wanted[key]!r}"
        for key in ("codebase_version", "robot_type", "fps", "features")
        if found.get(key) != wanted[key]
    ]
    if differ:
        raise DatasetError(
            f"dataset {root} has another layout, choose another folder: " + "; ".join(differ)
        )


def _finished_parts(root: Path) -> Iterator[tuple[int, pa.Table]]:
    for path in sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet")):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DatasetError(f"dataset {root} cannot be read: {error}") from error
        try:
            yield _part_number(path), pq.read_table(pa.BufferReader(content))
        except (pa.ArrowException, OSError) as error:
            _log.warning("dropping %s, which is no table: %s", path, error)


def _part_number(path: Path) -> int:
    chunk, file = path.parent.name.split("-")[1], path.stem.split("-")[1]
    return int(chunk) * FILES_PER_CHUNK + int(file)


def _drop_leftovers(root: Path, next_part: int) -> None:
    """Delete what an interrupted session left unfinished, naming each file."""
    unfinished = [path for path in (root / PARTIAL_FOLDER).rglob("*") if path.is_file()]
    unfinished += root.glob("meta/**/*.partial")
    unfinished += root.glob("data/**/*.partial")
    for pattern in ("data/*/file-*.parquet", "meta/episodes/*/file-*.parquet", "videos/*/*/*.mp4"):
        unfinished += [path for path in root.glob(pattern) if _part_number(path) >= next_part]
    for path in sorted(unfinished):
        _log.warning("dropping half-written file %s of an interrupted session", path)
        path.unlink()
    shutil.rmtree(root / PARTIAL_FOLDER, ignore_errors=True)
