"""The sampler on distributions that are known, and the decoder on one it must learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vla_ros.model.decoders import DiffusionActionDecoder
from vla_ros.model.diffusion import cosine_alpha_bar, ddim_sample, velocity

ALPHA_BAR = cosine_alpha_bar(100)


def sample_normal(mean: float, std: float, sample_steps: int) -> Tensor:
    """Sample with the best predictor there is for a normal distribution."""

    def exact(x: Tensor, level: int) -> Tensor:
        alpha = ALPHA_BAR[level]
        off = (x - alpha.sqrt() * mean) / (alpha * std**2 + 1 - alpha)
        return velocity(mean + alpha.sqrt() * std**2 * off, (1 - alpha).sqrt() * off, alpha)

    start = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    return ddim_sample(exact, start, ALPHA_BAR, sample_steps)


@pytest.mark.parametrize(("mean", "std"), [(1.5, 0.4), (-0.7, 1.0), (0.0, 0.1)])
def test_sampling_at_every_level_gives_the_distribution(mean: float, std: float) -> None:
    samples = sample_normal(mean, std, sample_steps=100)
    assert samples.mean().item() == pytest.approx(mean, abs=0.02)
    assert samples.std().item() == pytest.approx(std, rel=0.1)


def test_ten_steps_keep_the_mean_and_lose_some_spread() -> None:
    samples = sample_normal(1.5, 0.4, sample_steps=10)
    assert samples.mean().item() == pytest.approx(1.5, abs=0.02)
    assert 0.3 < samples.std().item() <= 0.4


def test_the_noise_levels_reach_from_clean_to_noise() -> None:
    assert (ALPHA_BAR.diff() < 0).all()
    assert ALPHA_BAR[0] > 0.99
    assert ALPHA_BAR[-1] < 0.01


def test_learns_two_ways_of_doing_it() -> None:
    """Half of the chunks are all +1, half all -1; their mean, 0, is never right."""
    torch.manual_seed(0)
    decoder = DiffusionActionDecoder(condition_dim=1, action_dim=2, horizon=3, hidden=128)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    condition = torch.zeros(256, 1)
    for _ in range(400):
        sign = torch.randint(2, (256, 1, 1), generator=generator) * 2.0 - 1
        loss = decoder.loss(condition, sign.expand(-1, 3, 2), generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        samples = decoder(torch.zeros(1, 1), num_samples=200, generator=generator)
    right = (samples.abs() - 1).abs().amax(dim=(1, 2)) < 0.5
    agree = samples.sign().mean(dim=(1, 2)).abs() == 1
    assert (right & agree).float().mean() > 0.85
    assert 0.3 < (samples[:, 0, 0] > 0).float().mean() < 0.7


def test_a_network_that_has_seen_little_samples_no_wider_than_its_data() -> None:
    """Chunks of 40 numbers around a mean that the condition tells; noise predicted spreads them."""
    torch.manual_seed(0)
    decoder = DiffusionActionDecoder(condition_dim=6, action_dim=5, horizon=8, hidden=64)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    to_mean = torch.randn(6, 40, generator=generator) / 6**0.5

    def draw(rows: int) -> tuple[Tensor, Tensor]:
        condition = torch.randn(rows, 6, generator=generator)
        spread = 0.5 * torch.randn(rows, 40, generator=generator)
        return condition, (condition @ to_mean + spread).view(rows, 8, 5)

    for _ in range(400):
        condition, chunk = draw(64)
        loss = decoder.loss(condition, chunk, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    condition, chunk = draw(512)
    with torch.no_grad():
        samples = decoder(condition, generator=generator)
    assert samples.std() < 1.2 * chunk.std()
    # A sample of the right distribution is off by twice its variance.
    assert (samples - chunk).square().mean() < 1.5 * 2 * 0.5**2


def test_samples_of_a_row_lie_together_and_differ() -> None:
    torch.manual_seed(0)
    decoder = DiffusionActionDecoder(condition_dim=4, action_dim=2, horizon=3, hidden=16)
    generator = torch.Generator().manual_seed(0)
    samples = decoder(torch.randn(2, 4), num_samples=3, generator=generator)
    assert samples.shape == (6, 3, 2)
    assert not torch.allclose(samples[0], samples[1])
    with pytest.raises(ValueError, match="3 samples need a generator"):
        decoder(torch.randn(2, 4), num_samples=3)


def test_without_noise_the_chunk_is_near_the_middle_of_all_and_the_same_each_time() -> None:
    """A policy that starts from some one noise pushes every chunk the same way: 3 % of success."""
    torch.manual_seed(0)
    decoder = DiffusionActionDecoder(condition_dim=1, action_dim=2, horizon=3, hidden=128)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        condition = torch.rand(256, 1, generator=generator) * 2 - 1
        spread = 0.4 * torch.randn(256, 3, 2, generator=generator)
        loss = decoder.loss(condition, condition[:, :, None] + spread, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    condition = torch.linspace(-1, 1, 21)[:, None]
    with torch.no_grad():
        chunk, again = decoder(condition), decoder(condition)
        drawn = decoder(condition, generator=generator)
    assert torch.equal(chunk, again)
    off = chunk - condition[:, :, None]
    assert off.mean(dim=0).abs().max() < 0.1
    assert off.square().mean().sqrt() < 0.15
    assert (drawn - condition[:, :, None]).square().mean().sqrt() > 0.3


def test_without_noise_the_likelier_of_two_ways_is_taken() -> None:
    """Not their mean: 65 of 100 chunks are all +1, the others all -1."""
    torch.manual_seed(0)
    decoder = DiffusionActionDecoder(condition_dim=1, action_dim=2, horizon=3, hidden=128)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        sign = (torch.rand(256, 1, 1, generator=generator) < 0.65) * 2.0 - 1
        loss = decoder.loss(torch.zeros(256, 1), sign.expand(-1, 3, 2), generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        chunk = decoder(torch.zeros(1, 1))
    assert (chunk - 1).abs().max() < 0.25, chunk


def test_masked_steps_do_not_count() -> None:
    decoder = DiffusionActionDecoder(condition_dim=4, action_dim=2, horizon=3, hidden=16)
    condition, valid = torch.randn(2, 4), torch.zeros(2, 3, dtype=torch.bool)
    assert decoder.loss(condition, torch.randn(2, 3, 2), valid).item() == 0
