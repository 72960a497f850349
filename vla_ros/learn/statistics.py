"""Statistics of a dataset's columns, per episode and added up, as LeRobot keeps them.

Mean, standard deviation, minimum, maximum and count of a sum of episodes are exact; its quantiles
are the episodes' quantiles averaged by count, as LeRobot's own aggregation does, and so only near.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.datatypes import FloatArray, ImageArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
# Neighbouring frames are alike; every fifth says as much about colours.
FRAME_STRIDE = 5

Statistics = Mapping[str, FloatArray]


def vector_statistics(values: NDArray[Any]) -> Statistics:
    """Statistics of `values` (N, D) over its rows; each of shape (D,), count of shape (1,)."""
    values = np.asarray(values, np.float64)
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        "count": np.array([len(values)], np.float64),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }


def image_statistics(frames: ImageArray) -> Statistics:
    """Statistics of each colour of `frames` (N, H, W, 3) in [0, 1]; each of shape (3, 1, 1)."""
    frames = frames[::FRAME_STRIDE]
    per_color = [_histogram_statistics(frames[..., color]) for color in range(3)]
    statistics: dict[str, FloatArray] = {
        name: np.array([one[name] for one in per_color]).reshape(3, 1, 1) for name in per_color[0]
    }
    return {**statistics, "count": np.array([len(frames)], np.float64)}


def _histogram_statistics(values: NDArray[np.uint8]) -> dict[str, float]:
    counts = np.bincount(values.ravel(), minlength=256)
    levels = np.arange(256) / 255.0
    below = np.cumsum(counts)
    mean = float(counts @ levels / below[-1])
    variance = float(counts @ (levels - mean) ** 2 / below[-1])
    present = levels[counts > 0]
    quantiles = {
        name: float(levels[np.searchsorted(below, fraction * below[-1])])
        for name, fraction in QUANTILES.items()
    }
    return {
        "min": float(present[0]),
        "max": float(present[-1]),
        "mean": mean,
        "std": variance**0.5,
        **quantiles,
    }


def combine(first: Statistics, second: Statistics) -> Statistics:
    """Statistics of two sets of rows together."""
    count = first["count"] + second["count"]
    weights = first["count"] / count, second["count"] / count

    def average(one: FloatArray, other: FloatArray) -> FloatArray:
        return np.asarray(one * weights[0][0] + other * weights[1][0], np.float64)

    mean = average(first["mean"], second["mean"])
    variance = average(
        first["std"] ** 2 + (first["mean"] - mean) ** 2,
        second["std"] ** 2 + (second["mean"] - mean) ** 2,
    )
    return {
        "min": np.minimum(first["min"], second["min"]),
        "max": np.maximum(first["max"], second["max"]),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": count,
        **{name: average(first[name], second[name]) for name in QUANTILES},
    }


def as_json(statistics: Mapping[str, Statistics]) -> dict[str, dict[str, Any]]:
    """The content of `stats.json`."""
    return {
        key: {
            name: values.astype(np.int64).tolist() if name == "count" else values.tolist()
            for name, values in feature.items()
        }
        for key, feature in statistics.items()
    }
