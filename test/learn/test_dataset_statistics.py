"""Statistics of parts add up to the statistics of the whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.learn.statistics import (
    FRAME_STRIDE,
    QUANTILES,
    combine,
    image_statistics,
    vector_statistics,
)

EXACT = ("min", "max", "mean", "std", "count")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(0, 99))
def test_the_sum_is_the_whole(first: int, second: int, width: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(3.0, 2.0, size=(first + second, width))
    whole = vector_statistics(values)
    total = combine(vector_statistics(values[:first]), vector_statistics(values[first:]))
    for name in EXACT:
        np.testing.assert_allclose(total[name], whole[name], atol=1e-12)


def test_picture_statistics_are_those_of_the_pixels() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (11, 8, 6, 3), dtype=np.uint8)
    statistics = image_statistics(frames)
    pixels = frames[::FRAME_STRIDE].reshape(-1, 3) / 255
    np.testing.assert_allclose(statistics["mean"].ravel(), pixels.mean(axis=0))
    np.testing.assert_allclose(statistics["std"].ravel(), pixels.std(axis=0))
    assert statistics["count"] == [3]
    for name, fraction in QUANTILES.items():
        np.testing.assert_allclose(
            statistics[name].ravel(), np.quantile(pixels, fraction, axis=0), atol=2 / 255
        )
