"""All pictures of a dataset, decoded once into raw files that are mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset_format import write_json
from vla_ros.learn.dataset_info import DatasetInfo
from vla_ros.learn.dataset_reader import EpisodeRows
from vla_ros.learn.video import read_video

_MANIFEST = "manifest.json"
# With the number of the process that writes it.
_PARTIAL = ".rgb.partial-"
_VERSION = 1
_THREADS = 2

Frames = np.memmap[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class _Span:
    """An episode's frames in one video, and the rows they go to."""

    episode: int
    first_frame: int
    first_row: int
    length: int


def cached_frames(
    folder: Path, info: DatasetInfo, episodes: Sequence[EpisodeRows]
) -> tuple[dict[str, Frames], dict[int, str]]:
    """Map the pictures of `episodes`, decoding them first when they are not there yet.

    Args:
        folder: Where the raw files are kept.
        info: The dataset.
        episodes: The episodes whose pictures are wanted, in order.

    Returns:
        Frames by camera, each (N, H, W, 3), the rows of the whole episodes one after another; and
        by number the episodes whose pictures are broken, with the reason. Those have no rows.

    Raises:
        DatasetError: The folder cannot be written or has no room.
    """
    if not episodes:
        return {}, {}
    fingerprint = _fingerprint(info, episodes)
    manifest = _valid_manifest(folder, fingerprint)
    if manifest is None:
        try:
            manifest = _decode_all(folder, info, episodes, fingerprint)
        except OSError as error:
            raise DatasetError(
                f"frame cache {folder} cannot be written: {error}; "
                f"choose another folder with the argument `cache`"
            ) from error
    frames = {
        name: np.memmap(folder / f"{name}.rgb", np.uint8, "r", shape=tuple(shape))
        for name, shape in manifest["shapes"].items()
        if shape[0]
    }
    return frames, {int(number): reason for number, reason in manifest["broken"].items()}


def _fingerprint(info: DatasetInfo, episodes: Sequence[EpisodeRows]) -> str:
    """Changes with the videos' sizes and times, the sizes of pictures and the rows."""
    paths = sorted({path for episode in episodes for path, _ in episode.videos.values()})
    stats = [(str(path.relative_to(info.root)), _size_and_time(path)) for path in paths]
    rows = [
        (episode.number, len(episode.state), sorted((n, f) for n, (_, f) in episode.videos.items()))
        for episode in episodes
    ]
    cameras = sorted((n, c.height_px, c.width_px) for n, c in info.cameras.items())
    return hashlib.sha256(repr((_VERSION, stats, rows, cameras)).encode()).hexdigest()


def _size_and_time(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _valid_manifest(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((folder / _MANIFEST).read_text())
        sizes = {name: (folder / f"{name}.rgb").stat().st_size for name in manifest["shapes"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = all(sizes[name] == np.prod(shape) for name, shape in manifest["shapes"].items())
    return manifest if whole and manifest.get("fingerprint") == fingerprint else None


def _decode_all(
    folder: Path, info: DatasetInfo, episodes: Sequence[EpisodeRows], fingerprint: str
) -> dict[str, Any]:
    rows = sum(len(episode.state) for episode in episodes)
    shapes = {n: (rows, c.height_px, c.width_px, 3) for n, c in info.cameras.items()}
    _make_room(folder, sum(int(np.prod(shape)) for shape in shapes.values()))
    partial = {name: folder / f"{name}{_PARTIAL}{os.getpid()}" for name in shapes}
    try:
        maps = {
            name: np.memmap(partial[name], np.uint8, "w+", shape=shape)
            for name, shape in shapes.items()
        }
        broken = _decode_videos(maps, info, episodes)
        kept = _close_gaps(maps, episodes, broken)
        for name, frames in maps.items():
            frames.flush()
            os.truncate(partial[name], kept * frames[0].nbytes)
            partial[name].replace(folder / f"{name}.rgb")
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    manifest = {
        "fingerprint": fingerprint,
        "shapes": {name: [kept, *shape[1:]] for name, shape in shapes.items()},
        "broken": {str(number): reason for number, reason in broken.items()},
    }
    write_json(folder / _MANIFEST, manifest)
    return manifest


def _make_room(folder: Path, wanted_bytes: int) -> None:
    """Drop what is stale and see that the new files fit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MANIFEST).unlink(missing_ok=True)
    left = [path for path in folder.glob(f"*{_PARTIAL}*") if not _is_alive(path)]
    for path in (*folder.glob("*.rgb"), *left):
        path.unlink(missing_ok=True)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < wanted_bytes:
        raise DatasetError(
            f"frame cache {folder} needs {wanted_bytes / 1e9:.1f} GB, {free_bytes / 1e9:.1f} GB "
            f"are free; choose another folder with the argument `cache`"
        )


def _is_alive(partial: Path) -> bool:
    """Whether the process that writes the file still runs, on this machine."""
    number = partial.name.rpartition("-")[2]
    return number.isdigit() and Path("/proc", number).exists()


def _decode_videos(
    maps: Mapping[str, Frames], info: DatasetInfo, episodes: Sequence[EpisodeRows]
) -> dict[int, str]:
    """Fill `maps`; give the episodes whose pictures are not all there, with the reason."""
    jobs: dict[tuple[str, Path], list[_Span]] = {}
    row = 0
    for episode in episodes:
        for name, (path, first_frame) in episode.videos.items():
            span = _Span(
                episode=episode.number,
                first_frame=first_frame,
                first_row=row,
                length=len(episode.state),
            )
            jobs.setdefault((name, path), []).append(span)
        row += len(episode.state)
    broken: dict[int, str] = {}
    total = row * len(maps)
    with (
        tqdm(total=total, desc="decoding", unit=" frames", unit_scale=True, disable=None) as bar,
        # Threads, not processes: decoding leaves the interpreter free, and they share the maps.
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        results = [
            pool.submit(_decode_video, path, info.fps, maps[name], spans, bar)
            for (name, path), spans in jobs.items()
        ]
        try:
            for result in results:
                broken |= result.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return broken


def _decode_video(
    path: Path, fps: float, frames: Frames, spans: Sequence[_Span], bar: tqdm[Any]
) -> dict[int, str]:
    """Put the frames of one video where `spans` say; give the episodes that lack some."""
    rows = {span.first_frame + k: span.first_row + k for span in spans for k in range(span.length)}
    problem = ""
    try:
        for index, pixels in read_video(path, fps):
            row = rows.get(index)
            if row is None:
                continue
            if pixels.shape != frames.shape[1:]:
                raise DatasetError(f"video {path}: frame {index} has shape {pixels.shape}")
            frames[row] = pixels
            del rows[index]
            bar.update()
    except DatasetError as error:
        problem = str(error)
    bar.update(len(rows))
    missing = {span.episode: sum(_frames_of(span, rows)) for span in spans}
    return {
        episode: problem or f"video {path} lacks {count} of its frames"
        for episode, count in missing.items()
        if count
    }


def _frames_of(span: _Span, rows: Mapping[int, int]) -> Iterator[bool]:
    return (span.first_frame + k in rows for k in range(span.length))


def _close_gaps(
    maps: Mapping[str, Frames], episodes: Sequence[EpisodeRows], broken: Mapping[int, str]
) -> int:
    """Move the rows of whole episodes together; give their number."""
    old = new = 0
    for episode in episodes:
        length = len(episode.state)
        if episode.number not in broken:
            if new < old:
                for frames in maps.values():
                    frames[new : new + length] = frames[old : old + length]
            new += length
        old += length
    return new
