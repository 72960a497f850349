"""What reaches the action, and what must not."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vla_ros.errors import ParameterError
from vla_ros.model.blocks import merge_heads, split_heads
from vla_ros.model.config import ModelConfig, preset
from vla_ros.model.decoders import DiffusionActionDecoder
from vla_ros.model.fusion import CrossModalAttention
from vla_ros.model.tokenizer import PAD
from vla_ros.model.vla import Fused, VLAModel

Inputs = tuple[Tensor, Tensor, Tensor]
EFFECT = 1e-3


def largest_change(before: Tensor, after: Tensor) -> float:
    return (before - after).abs().max().item()


def test_gives_a_chunk_per_row(model: VLAModel, config: ModelConfig, inputs: Inputs) -> None:
    assert model(*inputs).shape == (2, config.horizon, config.action_dim)


@pytest.mark.parametrize("extra", [1, 5, 12])
def test_padding_never_changes_the_chunk(model: VLAModel, inputs: Inputs, extra: int) -> None:
    images, tokens, state = inputs
    padded = torch.cat([tokens, torch.full((2, extra), PAD)], dim=1)
    torch.testing.assert_close(model(images, padded, state), model(*inputs))


def test_a_row_does_not_depend_on_its_neighbours(model: VLAModel, inputs: Inputs) -> None:
    alone = model(*(part[:1] for part in inputs))
    torch.testing.assert_close(alone, model(*inputs)[:1])


@pytest.mark.parametrize("feature", range(5))
def test_every_state_feature_reaches_the_action(
    model: VLAModel, inputs: Inputs, feature: int
) -> None:
    images, tokens, state = inputs
    moved = state.clone()
    moved[:, feature] += 1
    assert largest_change(model(images, tokens, moved), model(*inputs)) > EFFECT


@pytest.mark.parametrize("position", [1, 2, 3])
def test_every_word_reaches_the_action(model: VLAModel, inputs: Inputs, position: int) -> None:
    images, tokens, state = inputs
    changed = tokens.clone()
    changed[:, position] = 20
    assert largest_change(model(images, changed, state), model(*inputs)) > EFFECT


def test_object_words_decide_where_to_look_and_nothing_else(
    config: ModelConfig, inputs: Inputs
) -> None:
    torch.manual_seed(0)
    images, tokens, state = inputs
    red, blue = 20, 21
    model = VLAModel(replace(config, points=2, object_words=(red, blue))).eval()
    one, other = tokens.clone(), tokens.clone()
    one[:, 2], other[:, 2] = red, blue
    (text, mask), (changed, _) = model.encode_text(one), model.encode_text(other)
    assert largest_change(text[:, 0], changed[:, 0]) > EFFECT
    torch.testing.assert_close(text[:, 1:], changed[:, 1:])
    seen, meant = model.fuse(images, text, mask, state), model.fuse(images, changed, mask, state)
    assert largest_change(seen.named[0], meant.named[0]) > 0
    # Were they looked for at the same places, the same would be done.
    changed[:, 0] = text[:, 0]
    torch.testing.assert_close(model.act(images, changed, mask, state), seen_chunk(model, seen))
    padded = torch.cat([one, torch.full((2, 3), PAD)], dim=1)
    torch.testing.assert_close(model(images, padded, state), model(images, one, state))


def seen_chunk(model: VLAModel, seen: Fused) -> Tensor:
    chunk: Tensor = model.action_decoder(seen.condition)
    return chunk


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"object_words": (32,)}, "object_words are (32,), they must be ids of words, 0 to 31"),
        ({"object_words": (5,), "points": 0}, "object_words are for the pointers"),
    ],
)
def test_object_words_need_ids_and_pointers(
    config: ModelConfig, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ParameterError, match=re.escape(why)):
        replace(config, **{"points": 2, "vocab_size": 32, **changes})


def test_the_order_of_words_matters(model: VLAModel, inputs: Inputs) -> None:
    images, tokens, state = inputs
    swapped = tokens[:, [0, 2, 1, 3]]
    assert largest_change(model(images, swapped, state), model(*inputs)) > EFFECT


@pytest.mark.parametrize("camera", [0, 1])
@pytest.mark.parametrize("corner", [(0, 0), (31, 31)])
def test_every_patch_of_every_camera_reaches_the_action(
    model: VLAModel, inputs: Inputs, camera: int, corner: tuple[int, int]
) -> None:
    images, tokens, state = inputs
    changed = images.clone()
    changed[:, camera, :, corner[0], corner[1]] += 5
    assert largest_change(model(changed, tokens, state), model(*inputs)) > EFFECT


def test_swapped_cameras_are_not_the_same(model: VLAModel, inputs: Inputs) -> None:
    images, tokens, state = inputs
    assert largest_change(model(images.flip(1), tokens, state), model(*inputs)) > EFFECT


def test_text_encoded_once_gives_the_same_chunk(model: VLAModel, inputs: Inputs) -> None:
    images, tokens, state = inputs
    text = model.encode_text(tokens)
    for _ in range(2):
        torch.testing.assert_close(model.act(images, *text, state), model(*inputs))


def test_every_weight_gets_a_gradient(config: ModelConfig, inputs: Inputs) -> None:
    model = VLAModel(config)
    model(*inputs).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_can_learn_one_batch_by_heart(config: ModelConfig, inputs: Inputs) -> None:
    torch.manual_seed(0)
    model = VLAModel(config)
    wanted = torch.randn(2, config.horizon, config.action_dim)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = (model(*inputs) - wanted).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_the_head_is_chosen_by_the_configuration(inputs: Inputs) -> None:
    sizes = {"cameras": ("front", "wrist"), "state_features": 5, "action_dim": 3}
    model = VLAModel(preset("tiny", action_head="diffusion", **sizes)).eval()
    assert isinstance(model.action_decoder, DiffusionActionDecoder)
    torch.testing.assert_close(model(*inputs), model(*inputs))


def test_small_is_of_the_size_it_says() -> None:
    sizes = {"cameras": ("front", "wrist"), "state_features": 17, "action_dim": 8}
    parameters = sum(p.numel() for p in VLAModel(preset("small", **sizes)).parameters())
    assert 3e6 < parameters < 4e6


def test_base_is_the_specification() -> None:
    sizes = {"cameras": ("front",), "state_features": 17, "action_dim": 8}
    with torch.device("meta"):
        model = VLAModel(preset("base", **sizes))
    vision = sum(p.numel() for p in model.vision_encoders.parameters())
    assert vision == pytest.approx(85.8e6, rel=0.01)  # ViT-B/16 without its classifier
    assert model.language_encoder.token_embed.weight.shape == (50_000, 768)
    assert model.language_encoder.pos_embed.shape == (1, 512, 768)


@pytest.mark.parametrize("points", [0, 2])
def test_attention_is_a_share_of_each_picture_by_its_words(
    config: ModelConfig, inputs: Inputs, points: int
) -> None:
    torch.manual_seed(0)
    model = VLAModel(replace(config, points=points)).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    images, tokens, state = inputs
    shares = model.attention(images, *model.encode_text(tokens), state)
    cells = 64 if points else 4
    assert shares.shape == (2, 2, cells)
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(2, 2))
    changed = tokens.clone()
    changed[:, 2] = 20
    other = model.attention(images, *model.encode_text(changed), state)
    assert largest_change(shares, other) > EFFECT / 10


def test_the_weights_of_attention_give_what_was_seen(config: ModelConfig) -> None:
    """What the weights pick of the values is what `forward` adds."""
    torch.manual_seed(0)
    look = CrossModalAttention(config.width, config.heads).eval().requires_grad_(False)
    vision, words = torch.randn(2, 7, config.width), torch.randn(2, 3, config.width)
    values = split_heads(look.key_value(vision).chunk(2, dim=-1)[1], config.heads)
    seen = words + look.proj(merge_heads(look.weights(vision, words) @ values))
    torch.testing.assert_close(look(vision, words), seen + look.ffn(look.norm2(seen)))
