"""Real-time chunking in the decoders: what is given is kept, and what follows continues it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vla_ros.model.config import HEADS, ModelConfig
from vla_ros.model.decoders import ActionDecoder, DiffusionActionDecoder
from vla_ros.model.diffusion import CLIP_SAMPLE, ddim_sample
from vla_ros.model.guidance import PrefixGuide
from vla_ros.model.losses import masked_mean
from vla_ros.model.prefix import Prefix, first_steps, prefix_features, soft_mask
from vla_ros.model.vla import VLAModel, build_decoder

HORIZON, ACTIONS = 6, 2


def counts(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


def decoder(kind: type[nn.Module], delay_steps: int = 0, hidden: int = 32) -> nn.Module:
    torch.manual_seed(0)
    return kind(3, ACTIONS, HORIZON, hidden, delay_steps=delay_steps).requires_grad_(False)


def chunks(rows: int, seed: int = 1) -> Tensor:
    return torch.randn(rows, HORIZON, ACTIONS, generator=torch.Generator().manual_seed(seed))


def test_the_soft_mask_is_the_papers() -> None:
    """2506.07339, eq. 5, written out; d = 2 frozen steps, the running plan reaches 5 of 6."""
    (found,) = soft_mask(Prefix(chunks(1), counts(2), counts(5)), HORIZON).tolist()
    c = [(5 - i) / (5 - 2 + 1) for i in range(HORIZON)]
    fading = [c[i] * (math.exp(c[i]) - 1) / (math.e - 1) for i in (2, 3, 4)]
    assert found == pytest.approx([1, 1, *fading, 0])


def test_the_pull_is_the_products_with_the_true_jacobian() -> None:
    """Against finite differences, in double precision, through the whole network."""
    head = decoder(DiffusionActionDecoder).double()
    for parameter in head.parameters():  # fresh weights are almost linear
        parameter.normal_(std=0.4)
    condition, x = torch.randn(1, 3).double(), chunks(1, seed=2).double()
    prefix = Prefix(chunks(1).double(), counts(2), counts(4))
    alpha = head.alpha_bar[60].double()

    def estimate(noisy: Tensor) -> Tensor:
        predicted = head.predict_velocity(noisy, condition, torch.tensor([60]))
        return alpha.sqrt() * noisy - (1 - alpha).sqrt() * predicted

    with torch.inference_mode():
        clean, pull = PrefixGuide(prefix).pull(estimate, x)
    assert torch.equal(clean, estimate(x))
    error = soft_mask(prefix, HORIZON)[..., None] * (prefix.chunk - clean)
    step, expected = 1e-6, torch.zeros_like(x)
    for index in range(x.numel()):
        offset = torch.zeros_like(x)
        offset.view(-1)[index] = step
        column = (estimate(x + offset) - estimate(x - offset)) / (2 * step)
        expected.view(-1)[index] = (column * error).sum()
    assert pull == pytest.approx(expected, abs=1e-6)
    # Taking the Jacobian for a multiple of the identity would be another thing.
    assert (expected - error / alpha.sqrt()).abs().max() > 0.1


@pytest.mark.parametrize("kind", [ActionDecoder, DiffusionActionDecoder])
@pytest.mark.parametrize("delay_steps", [0, 3])
def test_without_a_prefix_no_gradient_is_taken(kind: type[nn.Module], delay_steps: int) -> None:
    with torch.inference_mode():
        chunk = decoder(kind, delay_steps)(torch.ones(2, 3))
    assert chunk.shape == (2, HORIZON, ACTIONS)
    assert chunk.is_inference()


@pytest.fixture(scope="module")
def two_ways() -> DiffusionActionDecoder:
    """Trained on chunks that are all +1 or all -1; nothing tells which."""
    torch.manual_seed(0)
    head = DiffusionActionDecoder(1, ACTIONS, HORIZON, 96)
    optimizer = torch.optim.Adam(head.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        sign = torch.randint(2, (128, 1, 1), generator=generator) * 2.0 - 1
        chunk = sign.expand(-1, HORIZON, ACTIONS)
        loss = head.loss(torch.zeros(128, 1), chunk, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return head.requires_grad_(False)


def test_guidance_takes_the_way_of_the_running_plan(two_ways: DiffusionActionDecoder) -> None:
    """Alone it takes the one that its noise leads to; with a prefix, that of the prefix."""
    rows = 256
    sign = (torch.arange(rows) % 2 * 2.0 - 1)[:, None, None]
    target = sign.expand(-1, HORIZON, ACTIONS)
    prefix = Prefix(target, counts(*[2] * rows), counts(*[4] * rows))
    start = torch.randn(target.shape, generator=torch.Generator().manual_seed(7))
    condition, levels = torch.zeros(rows, 1), two_ways.alpha_bar

    def predict(x: Tensor, step: int) -> Tensor:
        return two_ways.predict_velocity(x, condition, torch.full((rows,), step))

    free = ddim_sample(predict, start, levels, two_ways.sample_steps)
    guided = ddim_sample(predict, start, levels, two_ways.sample_steps, PrefixGuide(prefix))
    assert 0.3 < ((free * sign) > 0).all(dim=(1, 2)).float().mean() < 0.7
    # Sampled, not yet overwritten: the steps that are frozen and those that nothing was said of.
    off = (guided - target).abs()
    assert off[:, :2].mean() < 0.05
    assert ((guided[:, 4:] * sign) > 0).all(dim=(1, 2)).float().mean() > 0.8


def test_frozen_steps_come_out_as_they_were_given(two_ways: DiffusionActionDecoder) -> None:
    target = torch.full((1, HORIZON, ACTIONS), 0.7)
    with torch.inference_mode():
        chunk = two_ways(torch.zeros(1, 1), Prefix(target, counts(2), counts(4)))
    assert torch.equal(chunk[:, :2], target[:, :2])
    assert not torch.equal(chunk[:, 2:4], target[:, 2:4])


def test_guidance_is_bounded_however_far_the_prefix(two_ways: DiffusionActionDecoder) -> None:
    target = torch.full((1, HORIZON, ACTIONS), 1e6)
    with torch.inference_mode():
        chunk = two_ways(torch.zeros(1, 1), Prefix(target, counts(1), counts(4)))
    assert (chunk[:, 1:].abs() <= CLIP_SAMPLE).all()


@pytest.mark.parametrize("kind", [ActionDecoder, DiffusionActionDecoder])
def test_a_trained_decoder_hears_the_frozen_steps_alone(kind: type[nn.Module]) -> None:
    head = decoder(kind, delay_steps=3)
    for parameter in head.parameters():
        parameter.normal_(std=0.2)
    condition, plan = torch.randn(3, 3), chunks(3)
    frozen = counts(0, 2, 3)
    with torch.inference_mode():
        free = head(condition)
        chunk = head(condition, Prefix(plan, frozen, counts(4, 4, 4)))
        other = plan.clone()
        other[:, 3:] = 9.0
        same = head(condition, Prefix(other, frozen, counts(4, 4, 4)))
        other[1, 1] += 1.0
        changed = head(condition, Prefix(other, frozen, counts(4, 4, 4)))
    assert torch.equal(chunk[0], free[0]), "nothing is frozen"
    assert torch.equal(chunk[1, :2], plan[1, :2])
    assert torch.equal(chunk[2, :3], plan[2, :3])
    assert torch.equal(chunk, same), "what lies beyond is not looked at"
    assert (changed[1, 2:] - chunk[1, 2:]).abs().max() > 1e-4, "what is frozen is"
    assert torch.equal(changed[2], chunk[2])


@pytest.mark.parametrize("kind", [ActionDecoder, DiffusionActionDecoder])
def test_one_without_delay_steps_has_the_weights_it_had(kind: type[nn.Module]) -> None:
    plain, trained = decoder(kind), decoder(kind, delay_steps=3)
    first = next(name for name in plain.state_dict() if name.endswith("0.weight"))
    width = plain.state_dict()[first].shape[1]
    assert trained.state_dict()[first].shape[1] == width + 3 * (ACTIONS + 1)
    assert prefix_features(None, torch.ones(2, 3), 0, ACTIONS).shape == (2, 0)


@pytest.mark.parametrize("kind", [ActionDecoder, DiffusionActionDecoder])
def test_the_error_of_given_steps_teaches_nothing(kind: type[nn.Module]) -> None:
    """Another chunk behind the delay changes the error; the first steps' own is not looked at."""
    torch.manual_seed(0)
    head = kind(3, ACTIONS, HORIZON, 32, delay_steps=3)
    condition, chunk, delay = torch.randn(4, 3), chunks(4), counts(3, 3, 3, 3)
    generator = torch.Generator().manual_seed(0)
    error = head.error(condition, chunk, generator, delay)
    assert error.shape == chunk.shape
    if kind is ActionDecoder:
        assert not error[:, :3].any()
    error[:, 3:].sum().backward()
    first = next(p for name, p in head.named_parameters() if name.endswith("0.weight"))
    given = first.grad[:, -3 * (ACTIONS + 1) :]
    assert given.abs().max() > 0


@pytest.mark.parametrize("head", HEADS)
def test_the_configuration_builds_the_decoder(config: ModelConfig, head: str) -> None:
    sizes = {**vars(config), "action_head": head, "rtc_delay_steps": 2}
    built = build_decoder(ModelConfig(**sizes))
    assert built.delay_steps == 2
    assert ModelConfig(**sizes).prefix_steps == 2
    plain = ModelConfig(**{**sizes, "rtc_delay_steps": 0})
    assert plain.prefix_steps == (plain.horizon if head == "diffusion" else 0)
    assert VLAModel(plain).action_decoder.delay_steps == 0


@pytest.mark.parametrize("kind", [ActionDecoder, DiffusionActionDecoder])
def test_one_trained_with_a_delay_goes_the_way_that_it_is_given(kind: type[nn.Module]) -> None:
    """All chunks are +1 or -1, and nothing but their first steps tells which."""
    torch.manual_seed(0)
    head = kind(1, ACTIONS, HORIZON, 64, delay_steps=3)
    optimizer = torch.optim.Adam(head.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    condition = torch.zeros(128, 1)
    for _ in range(300):
        sign = torch.randint(2, (128, 1, 1), generator=generator) * 2.0 - 1
        delay = torch.randint(4, (128,), generator=generator)
        error = head.error(condition, sign.expand(-1, HORIZON, ACTIONS), generator, delay)
        counted = ~first_steps(delay, HORIZON)
        loss = masked_mean(error, counted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    plan = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None].expand(-1, HORIZON, ACTIONS)
    frozen = counts(1, 1, 3, 3)
    with torch.inference_mode():
        chunk = head(condition[:4], Prefix(plan, frozen, frozen))
    assert (chunk * plan > 0).all()
    assert (chunk - plan).abs().mean() < 0.3
