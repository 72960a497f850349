"""Change pictures the way cameras and lamps do, a batch at a time: what every training does.

Where things are hardly moves: `mirror` and `warp` do that, as options. The hue moves little, so
that red, orange and yellow stay apart.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_ros.datatypes import ImageArray
from vla_ros.model.tokenizer import PAD, SPECIAL, UNK

# A pixel of the 96-pixel front picture is 7 mm on the table: more would blur where things are.
SHIFT_PX = 2
_BRIGHTNESS, _CONTRAST, _SATURATION = 0.2, 0.25, 0.2
_CHANNEL_GAIN = 0.04
_HUE_RAD = math.radians(5.0)
_NOISE = 0.03
_WORD_DROPOUT, _WORD_INSERTION = 0.05, 0.25


def shift_pixels(
    pixels: ImageArray, target_uv: NDArray[np.float32], rng: np.random.Generator
) -> tuple[ImageArray, NDArray[np.float32]]:
    """Move each picture by up to `SHIFT_PX`, repeating the border, and what is seen with it.

    Args:
        pixels: Pictures, (B, H, W, 3).
        target_uv: Where each shows the named object, right and down, -1 to 1, (B, 2).
        rng: Source of randomness.

    Returns:
        The pictures, and where they show it then; NaN, and what was out of sight, stay.
    """
    count, height, width = pixels.shape[:3]
    margin = (SHIFT_PX, SHIFT_PX)
    padded = np.pad(pixels, ((0, 0), margin, margin, (0, 0)), mode="edge")
    corners = rng.integers(0, 2 * SHIFT_PX + 1, (count, 2))
    moved = np.stack(
        [
            picture[top : top + height, left : left + width]
            for picture, (top, left) in zip(padded, corners.tolist(), strict=True)
        ]
    )
    places = target_uv + 2 * (SHIFT_PX - corners[:, ::-1]) / (width, height)
    unseen = (np.abs(target_uv) >= 1).any(axis=1, keepdims=True)
    return moved, np.where(unseen, target_uv, places).astype(np.float32)


def drop_words(tokens: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Turn a few words of `tokens` (B, L) into `<unk>`, never CLS or padding."""
    dropped = (rng.random(tokens.shape) < _WORD_DROPOUT) & (tokens >= len(SPECIAL))
    return np.where(dropped, UNK, tokens)


def insert_words(tokens: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Put an `<unk>` between the words of some rows of `tokens` (B, L), never before CLS.

    Returns:
        Tokens, shape (B, L + 1).
    """
    count, length = tokens.shape
    chosen = rng.random(count) < _WORD_INSERTION
    at = rng.integers(1, (tokens != PAD).sum(axis=1) + 1)
    column = np.arange(length + 1)
    source = column - (chosen & (column[:, None] > at)).T
    longer = np.append(tokens, np.full((count, 1), PAD), axis=1)
    result = np.take_along_axis(longer, source, axis=1)
    result[chosen, at[chosen]] = UNK
    return result


def jitter_colors(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Change light, contrast, saturation, hue and grain of each picture.

    All but the grain is one 3 by 3 matrix and one offset a picture. One row after another, so
    that what is worked on stays in the processor's cache: three times as fast as all at once.

    Args:
        pixels: uint8, or float in [0, 255], (B, C, H, W, 3), on the CPU.
        generator: Of the CPU.

    Returns:
        float (B, C, 3, H, W) in [-1, 1], what `to_input` makes of the changed pictures.
    """
    count, cameras, height, width, _ = pixels.shape
    matrix, offset = color_transforms(count * cameras, generator)
    strength = torch.rand(count, cameras, 1, 1, generator=generator) * _NOISE
    offset = (offset - matrix.sum(dim=2, keepdim=True)).view(count, cameras, 3, 1)
    matrix = (matrix * (2 / 255)).view(count, cameras, 3, 3)
    result = torch.empty(count, cameras, 3, height * width)
    grain, starts = _grain(result[0].numel(), count, generator)
    for index, image in enumerate(result):
        planes = pixels[index].reshape(cameras, -1, 3).transpose(1, 2)
        planes = planes.to(torch.float32, memory_format=torch.contiguous_format)
        torch.baddbmm(offset[index], matrix[index], planes, out=image)
        start = starts[index]
        image.addcmul_(grain[start : start + image.numel()].view_as(image), strength[index])
        image.clamp_(-1, 1)
    return result.view(count, cameras, 3, height, width)


def color_transforms(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random matrices (count, 3, 3) and offsets (count, 3, 1) on RGB in [-1, 1]."""

    def uniform(bound: float, *size: int) -> Tensor:
        return (torch.rand(count, *size, 1, generator=generator) * 2 - 1) * bound

    grey = torch.full((3, 3), 1 / 3)
    axis = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    angle = uniform(_HUE_RAD, 1)
    hue = grey + angle.cos() * (torch.eye(3) - grey) + angle.sin() * axis
    saturation = grey + (1 + uniform(_SATURATION, 1)) * (torch.eye(3) - grey)
    gain = (1 + uniform(_CONTRAST, 1)) * (1 + uniform(_CHANNEL_GAIN, 3))
    return gain * (saturation @ hue), uniform(_BRIGHTNESS, 1).expand(-1, 3, 1)


def _grain(length: int, count: int, generator: torch.Generator) -> tuple[Tensor, list[int]]:
    """Normal noise, and for each of `count` rows where its `length` values of it start.

    Fresh numbers for every pixel would take longer than all the rest of the augmentation.
    """
    noise = torch.randn(3 * length, generator=generator)
    starts: list[int] = torch.randint(2 * length, (count,), generator=generator).tolist()
    return noise, starts
