"""Read the tables of a LeRobotDataset v3.0, ours or somebody else's, and check every episode."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset_format import (
    ACTION,
    SCENE_SEED,
    SCENE_TEXTS,
    STATE,
    TARGET,
    TARGET_SEEN,
)
from vla_ros.learn.dataset_info import CameraInfo, DatasetInfo
from vla_ros.learn.episode import Float32Array

_NEEDED = ("episode_index", "length", "data/chunk_index", "data/file_index")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeRows:
    """The rows of one whole episode, and where its pictures are.

    Attributes:
        number: Its `episode_index`.
        record: Its line in the table of episodes.
        state: Shape (N, S).
        action: Shape (N, A).
        target_m: Shape (N, 3); NaN when the dataset does not say.
        target_uv: Shape (N, C, 2); NaN when the dataset does not say.
        videos: By camera: the file, and the index of the episode's first frame in it.
    """

    number: int
    record: Mapping[str, Any]
    state: Float32Array
    action: Float32Array
    target_m: Float32Array
    target_uv: Float32Array
    videos: Mapping[str, tuple[Path, int]]

    def text(self, key: str) -> str:
        """`task`, `color`, `direction` or `place`; empty when the dataset does not say."""
        if key not in SCENE_TEXTS:
            raise KeyError(key)
        return str(self.record.get(f"scene/{key}") or "")

    @property
    def instruction(self) -> str:
        """The first of its texts; empty when it has none."""
        return str((self.record.get("tasks") or [""])[0])

    @property
    def seed(self) -> int | None:
        """Seed of its scene; `None` when the dataset does not say."""
        return self.record.get(SCENE_SEED)


def read_episodes(info: DatasetInfo) -> Iterator[EpisodeRows]:
    """Give every whole episode in order; name the broken ones in a warning."""
    for path, records in _by_data_file(info).items():
        try:
            table = pq.read_table(path)
            numbers = table["episode_index"].to_numpy()
        except (pa.ArrowException, OSError, KeyError) as error:
            _log.warning("skipping episodes %s: %s cannot be read: %s", _span(records), path, error)
            continue
        for record in records:
            rows = table.take(np.flatnonzero(numbers == record["episode_index"]))
            try:
                yield _checked(info, record, rows)
            except DatasetError as error:
                _log.warning("skipping episode %s: %s", record["episode_index"], error)


def _by_data_file(info: DatasetInfo) -> dict[Path, list[dict[str, Any]]]:
    """Lines of the tables of episodes, without statistics, by the data file they name."""
    by_file: dict[Path, list[dict[str, Any]]] = {}
    paths = sorted((info.root / "meta/episodes").glob("*/*.parquet"))
    if not paths:
        raise DatasetError(f"dataset {info.root} has no meta/episodes/chunk-*/file-*.parquet")
    for path in paths:
        for record in _records(path):
            if any(record[key] is None for key in _NEEDED):
                _log.warning(
                    "skipping episode %s: %s lacks its place", record["episode_index"], path
                )
                continue
            name = info.data_path.format(
                chunk_index=record["data/chunk_index"], file_index=record["data/file_index"]
            )
            by_file.setdefault(info.root / name, []).append(record)
    return by_file


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        names = pq.read_schema(path).names
        table = pq.read_table(path, columns=[n for n in names if not n.startswith("stats/")])
    except (pa.ArrowException, OSError) as error:
        _log.warning("skipping the episodes listed in %s, which cannot be read: %s", path, error)
        return []
    missing = sorted(set(_NEEDED) - set(names))
    if missing:
        raise DatasetError(f"{path} lacks the columns {', '.join(missing)}; it has: {names}")
    records: list[dict[str, Any]] = table.to_pylist()
    return records


def _checked(info: DatasetInfo, record: dict[str, Any], rows: pa.Table) -> EpisodeRows:
    length = record["length"]
    if rows.num_rows != length or length < 1:
        raise DatasetError(f"it has {rows.num_rows} rows, its length is {length}")
    if "frame_index" in rows.column_names:
        # Files are in order as a rule; a shuffled one is put right, a gap is not.
        rows = rows.sort_by("frame_index")
        if not np.array_equal(rows["frame_index"].to_numpy(), np.arange(length)):
            raise DatasetError(f"its frame_index does not run from 0 to {length - 1}")
    return EpisodeRows(
        number=record["episode_index"],
        record=record,
        state=_vectors(rows, STATE, len(info.state_names)),
        action=_vectors(rows, ACTION, len(info.action_names)),
        target_m=_optional(rows, TARGET, 3),
        target_uv=_optional(rows, TARGET_SEEN, 2 * len(info.cameras)).reshape(length, -1, 2),
        videos={name: _video(info, record, camera) for name, camera in info.cameras.items()},
    )


def _vectors(rows: pa.Table, key: str, length: int) -> Float32Array:
    if key not in rows.column_names:
        raise DatasetError(f"its data file has no column {key}")
    values = _as_array(rows, key)
    if values.shape[1:] != (length,):
        raise DatasetError(f"{key} has shape {values.shape}, not ({len(rows)}, {length})")
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        raise DatasetError(f"{key} is not finite in row {broken[0]}")
    return values.astype(np.float32)


def _optional(rows: pa.Table, key: str, length: int) -> Float32Array:
    """What training can do without; NaN when it is not there, or of other cameras."""
    values = _as_array(rows, key) if key in rows.column_names else np.zeros((0, 0))
    if values.shape != (len(rows), length):
        return np.full((len(rows), length), np.nan, np.float32)
    return values.astype(np.float32)


def _as_array(rows: pa.Table, key: str) -> NDArray[Any]:
    """A column as (N, D); numbers count as vectors of length 1."""
    column = rows[key].combine_chunks()
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))[:, None]
    lengths = pc.list_value_length(column).unique().to_pylist()
    if len(lengths) != 1 or lengths[0] is None:
        raise DatasetError(f"{key} holds rows of different lengths: {lengths}")
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values).reshape(len(rows), -1)


def _video(info: DatasetInfo, record: dict[str, Any], camera: CameraInfo) -> tuple[Path, int]:
    prefix = f"videos/{camera.key}"
    try:
        name = info.video_path.format(
            video_key=camera.key,
            chunk_index=record[f"{prefix}/chunk_index"],
            file_index=record[f"{prefix}/file_index"],
        )
        return info.root / name, round(record[f"{prefix}/from_timestamp"] * info.fps)
    except (KeyError, TypeError) as error:
        raise DatasetError(f"the table of episodes does not place its {prefix}: {error}") from error


def _span(records: list[dict[str, Any]]) -> str:
    numbers = [record["episode_index"] for record in records]
    return f"{min(numbers)} to {max(numbers)}"
