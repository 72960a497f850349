"""Resizing keeps proportions, whatever the mode."""

from __future__ import annotations

import numpy as np
import pytest

from vla_ros.errors import ImageError
from vla_ros.image import resize


def _disc(height_px: int, width_px: int, radius_px: float) -> np.ndarray:
    y, x = np.mgrid[:height_px, :width_px]
    inside = (y - height_px / 2 + 0.5) ** 2 + (x - width_px / 2 + 0.5) ** 2 < radius_px**2
    return np.repeat((inside * 255).astype(np.uint8)[..., None], 3, axis=-1)


def _extent(picture: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(picture[..., 0] > 127)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


@pytest.mark.parametrize("mode", ["letterbox", "crop"])
@pytest.mark.parametrize("size", [(480, 640), (640, 480), (96, 200), (50, 40)])
def test_a_disc_stays_round(mode: str, size: tuple[int, int]) -> None:
    result = resize(_disc(*size, radius_px=min(size) * 0.35), 96, 96, mode)
    assert result.shape == (96, 96, 3)
    assert result.dtype == np.uint8
    height, width = _extent(result)
    assert abs(height - width) <= 2


def test_letterbox_keeps_all_and_crop_fills() -> None:
    white = np.full((100, 200, 3), 255, np.uint8)
    assert resize(white, 96, 96, "letterbox")[:, 48, 0].sum() == 48 * 255
    assert (resize(white, 96, 96, "crop") == 255).all()


def test_shrinking_averages() -> None:
    stripes = np.zeros((192, 192, 3), np.uint8)
    stripes[::2] = 200
    assert (resize(stripes, 96, 96, "letterbox") == 100).all()


def test_unknown_mode_is_refused() -> None:
    with pytest.raises(ImageError, match="'stretch' is unknown; valid: letterbox, crop"):
        resize(np.zeros((2, 2, 3), np.uint8), 96, 96, "stretch")
