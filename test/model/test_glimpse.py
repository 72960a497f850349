"""Glimpses: what is cut out, where from, and that a model looks there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vla_ros.errors import ParameterError
from vla_ros.model.config import ModelConfig
from vla_ros.model.glimpse import Glimpse
from vla_ros.model.vla import VLAModel

Inputs = tuple[Tensor, Tensor, Tensor]
SIZE, CUT = 32, 8


def middle_of(row: int, column: int) -> Tensor:
    """The place (1, 2) between pixel (row, column) and the one before it, right and down."""
    return torch.tensor([[column, row]]) * (2 / SIZE) - 1


@pytest.fixture
def cutter() -> Glimpse:
    """Gives what it cut out."""
    glimpse = Glimpse(SIZE, CUT, 16)
    glimpse.look = nn.Sequential()
    return glimpse


def test_cuts_out_the_pixels_around_the_place(cutter: Glimpse) -> None:
    image = torch.rand(1, 3, SIZE, SIZE)
    cut = cutter(image, middle_of(20, 9))
    torch.testing.assert_close(cut, image[:, :, 16:24, 5:13])


def test_repeats_the_border_beyond_the_picture(cutter: Glimpse) -> None:
    image = torch.rand(1, 3, SIZE, SIZE)
    cut = cutter(image, middle_of(0, 16))
    torch.testing.assert_close(cut[:, :, :4], image[:, :, :1, 12:20].expand(-1, -1, 4, -1))
    torch.testing.assert_close(cut[:, :, 4:], image[:, :, :4, 12:20])


def test_what_is_seen_does_not_teach_where_to_look() -> None:
    place = middle_of(20, 9).requires_grad_()
    image = torch.rand(1, 3, SIZE, SIZE)
    Glimpse(SIZE, CUT, 16)(image, place).sum().backward()
    assert place.grad is None


@pytest.fixture
def looking(config: ModelConfig) -> VLAModel:
    torch.manual_seed(0)
    return VLAModel(replace(config, glimpse_px=CUT)).eval()


def test_the_decoder_hears_what_is_at_the_first_place(looking: VLAModel, inputs: Inputs) -> None:
    images, tokens, state = inputs
    seen = looking.fuse(images, *looking.encode_text(tokens), state)
    assert seen.condition.shape == (2, looking.config.condition_dim)
    (text, _), camera = looking.encode_text(tokens), 1
    place = looking.pointers[camera](images[:, camera], text[:, 0]).places[:, 0]
    wanted = looking.glimpses[camera](images[:, camera], place)
    torch.testing.assert_close(seen.condition[:, -looking.config.glimpse_dim :], wanted)


def test_every_weight_of_a_model_with_glimpses_gets_a_gradient(
    looking: VLAModel, inputs: Inputs
) -> None:
    looking(*inputs).sum().backward()
    assert [n for n, p in looking.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"glimpse_px": 6}, "glimpse_px is 6, it must be a multiple of 4 from 0 to image_px, 32"),
        ({"glimpse_px": 36}, "glimpse_px is 36, it must be a multiple of 4 from 0 to image_px, 32"),
        ({"glimpse_px": 8, "points": 0}, "glimpse_px is for the place pointed at"),
        ({"glimpse_px": 8, "width": 48}, "a width that is a multiple of 32, got 48"),
    ],
)
def test_a_glimpse_needs_a_place_and_a_size(
    config: ModelConfig, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ParameterError, match=re.escape(why)):
        replace(config, **changes)
