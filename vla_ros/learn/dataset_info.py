"""Read and check `meta/info.json` of a LeRobotDataset v3.0, ours or somebody else's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_ros.errors import DatasetError
from vla_ros.learn.dataset_format import (
    ACTION,
    CAMERA_PREFIX,
    DATA_PATH,
    INFO_PATH,
    STATE,
    VERSION,
    VIDEO_PATH,
)

_KEYS = ("codebase_version", "fps", "features", "data_path", "video_path")


@dataclass(frozen=True, kw_only=True)
class CameraInfo:
    """A camera of the dataset: its column, and the size of its pictures."""

    key: str
    height_px: int
    width_px: int


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A checked `info.json`.

    Attributes:
        root: Folder of the dataset.
        fps: Rows a second.
        robot: Name of the robot; empty when the dataset does not say.
        cameras: By name.
        state_names: Names of the S entries of a state.
        action_names: Names of the A entries of an action.
        data_path: Template of a data file's path.
        video_path: Template of a video's path.
    """

    root: Path
    fps: float
    robot: str
    cameras: Mapping[str, CameraInfo]
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    data_path: str
    video_path: str


def read_info(root: Path) -> DatasetInfo:
    """Read and check `meta/info.json`.

    Raises:
        DatasetError: Listing everything that is wrong with it.
    """
    path = root / INFO_PATH
    try:
        info = json.loads(path.read_text())
    except OSError as error:
        raise DatasetError(
            f"{root} is no LeRobotDataset {VERSION}: {path} cannot be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path} is no valid JSON: {error}") from error
    problems = _info_problems(info)
    if problems:
        raise DatasetError(f"{path}: {len(problems)} problem(s)\n  - " + "\n  - ".join(problems))
    features = info["features"]
    return DatasetInfo(
        root=root,
        fps=float(info["fps"]),
        robot=str(info.get("robot_type") or ""),
        cameras=_cameras(features),
        state_names=_names(features[STATE], "state"),
        action_names=_names(features[ACTION], "action"),
        data_path=info["data_path"],
        video_path=info["video_path"],
    )


def _info_problems(info: Any) -> list[str]:
    if not isinstance(info, dict):
        return [f"it is a {type(info).__name__}, not an object"]
    version = info.get("codebase_version")
    if version is not None and not str(version).startswith("v3."):
        return [f"codebase_version is {version!r}; valid: {VERSION}"]
    problems = [f"key {key!r} is missing" for key in _KEYS if info.get(key) is None]
    fps = info.get("fps")
    if fps is not None and not (type(fps) in (int, float) and 0 < fps < math.inf):
        problems.append(f"fps is {fps!r}; valid: a number above 0")
    problems += _template_problems(info)
    features = info.get("features")
    if features is not None:
        problems += _feature_problems(features)
    return problems


def _template_problems(info: dict[str, Any]) -> list[str]:
    problems = []
    for key, valid in (("data_path", DATA_PATH), ("video_path", VIDEO_PATH)):
        template = info.get(key)
        if template is None:
            continue
        try:
            template.format(video_key="", chunk_index=0, file_index=0)
        except (KeyError, IndexError, ValueError, AttributeError):
            problems.append(f"{key} is {template!r}; valid: like {valid!r}")
    return problems


def _feature_problems(features: Any) -> list[str]:
    if not isinstance(features, dict) or not all(map(_is_feature, features.values())):
        return [
            "features is not an object of objects that each have a dtype and, as shape, a list of "
            "whole numbers from 1"
        ]
    has = "; it has: " + ", ".join(features)
    problems = [f"features lacks {key!r}{has}" for key in (STATE, ACTION) if key not in features]
    problems += [
        f"features.{key} has shape {features[key]['shape']}; valid: one length"
        for key in (STATE, ACTION)
        if key in features and len(features[key]["shape"]) != 1
    ]
    problems += [
        f"features.{key} is of dtype 'image'; valid: 'video'"
        for key, feature in features.items()
        if feature["dtype"] == "image"
    ]
    videos = {key: feature for key, feature in features.items() if feature["dtype"] == "video"}
    if not videos and not problems:
        problems.append(f"features has no camera, of dtype 'video'{has}")
    return problems + [
        f"features.{key} has shape {feature['shape']}; valid: height, width and 3"
        for key, feature in videos.items()
        if len(feature["shape"]) != 3 or 3 not in feature["shape"][::2]
    ]


def _is_feature(feature: Any) -> bool:
    return (
        isinstance(feature, dict)
        and isinstance(feature.get("shape"), list)
        and all(type(n) is int and n >= 1 for n in feature["shape"])
        and isinstance(feature.get("dtype"), str)
    )


def _cameras(features: dict[str, Any]) -> dict[str, CameraInfo]:
    return {
        key.removeprefix(CAMERA_PREFIX): _camera(key, feature)
        for key, feature in features.items()
        if feature["dtype"] == "video"
    }


def _camera(key: str, feature: dict[str, Any]) -> CameraInfo:
    """Height and width; some datasets put the channels first."""
    shape = feature["shape"]
    height_px, width_px = shape[1:] if shape[0] == 3 else shape[:2]
    return CameraInfo(key=key, height_px=height_px, width_px=width_px)


def _names(feature: dict[str, Any], word: str) -> tuple[str, ...]:
    """Names of a vector's entries; LeRobot has them as a list, in a dict, or not at all."""
    names = feature.get("names")
    if isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    length = feature["shape"][0]
    if not isinstance(names, list) or len(names) != length:
        return tuple(f"{word}_{index}" for index in range(length))
    return tuple(map(str, names))
