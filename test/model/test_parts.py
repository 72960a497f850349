"""Masks, images, and sizes that do not go together."""

from __future__ import annotations

import pytest
import torch

from vla_ros.errors import ParameterError
from vla_ros.model.blocks import SelfAttention, TransformerBlock
from vla_ros.model.config import preset
from vla_ros.model.fusion import CrossModalAttention
from vla_ros.model.vision import to_input

SIZES = {"cameras": ("front",), "state_features": 5, "action_dim": 3}


def test_self_attention_is_the_formula() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(8, num_heads=2), torch.randn(3, 5, 8)
    q, k, v = attention.qkv(x).reshape(3, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) * 4**-0.5).softmax(dim=-1)
    wanted = attention.proj((weights @ v).transpose(1, 2).reshape(3, 5, 8))
    torch.testing.assert_close(attention(x), wanted)


def test_self_attention_ignores_masked_tokens() -> None:
    attention, x = SelfAttention(8, num_heads=2), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, True, True, False, False]])
    torch.testing.assert_close(attention(x, mask)[:, :3], attention(x[:, :3]))


def test_cross_attention_ignores_masked_pictures() -> None:
    attention = CrossModalAttention(8, num_heads=2)
    vision, language = torch.randn(2, 6, 8), torch.randn(2, 3, 8)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[:, 4:] = False
    torch.testing.assert_close(
        attention(vision, language, mask), attention(vision[:, :4], language)
    )


def test_cross_attention_sees_the_same_in_training_and_after() -> None:
    torch.manual_seed(0)
    attention = CrossModalAttention(8, num_heads=2)
    torch.nn.init.normal_(attention.key_value.bias)
    vision, language = torch.randn(2, 6, 8), torch.randn(2, 3, 8)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    trained = attention.train()(vision, language, mask)
    torch.testing.assert_close(attention.eval()(vision, language, mask), trained)
    assert trained.std() > 0.1


def test_a_block_can_compute_its_first_tokens_alone() -> None:
    torch.manual_seed(0)
    block, x = TransformerBlock(8, num_heads=2), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    torch.testing.assert_close(block(x, mask, 2), block(x, mask)[:, :2])


def test_cross_attention_does_not_mix_rows() -> None:
    attention = CrossModalAttention(8, num_heads=2)
    vision, language = torch.randn(2, 6, 8), torch.randn(2, 3, 8)
    torch.testing.assert_close(attention(vision, language)[:1], attention(vision[:1], language[:1]))


def test_pictures_keep_their_channels_and_range() -> None:
    pixels = torch.zeros(1, 2, 4, 6, 3, dtype=torch.uint8)
    pixels[0, 1, 3, 5, 2] = 255
    images = to_input(pixels)
    assert images.shape == (1, 2, 3, 4, 6)
    assert images[0, 1, 2, 3, 5] == 1
    assert images.sum() == 2 - images.numel()


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(ParameterError, match="'huge' is unknown; valid: base, small, tiny"):
        preset("huge", **SIZES)


def test_all_wrong_sizes_are_told_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        preset("tiny", **SIZES, image_px=33, heads=5, action_head="magic")
    text = str(caught.value)
    assert "image_px 33 is no multiple of patch_px 16" in text
    assert "width 32 is no multiple of heads 5" in text
    assert "'magic'; valid: mlp, diffusion" in text


@pytest.mark.parametrize("value", [0, -1, 2.0, True])
def test_sizes_are_whole_numbers_above_zero(value: object) -> None:
    with pytest.raises(ParameterError, match="horizon is .*whole number above 0"):
        preset("tiny", **SIZES, horizon=value)
