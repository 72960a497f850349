"""From the fused features to an action chunk, normalised, shape (B, T, A).

`condition` (B, K) is the fused CLS token, the state token and each camera's CLS token.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vla_ros.model.losses import cloning_error, masked_mean

CLIP_SAMPLE = 5.0


def mlp(dim_in: int, hidden: int, dim_out: int) -> nn.Sequential:
    """Three linear layers."""
    return nn.Sequential(
        nn.Linear(dim_in, hidden),
        nn.GELU(),
        nn.Linear(hidden, hidden),
        nn.GELU(),
        nn.Linear(hidden, dim_out),
    )


class ActionDecoder(nn.Module):
    """Regresses the chunk."""

    def __init__(self, condition_dim: int, action_dim: int, horizon: int, hidden: int) -> None:
        super().__init__()
        self.chunk_shape = (horizon, action_dim)
        self.action_head = mlp(condition_dim, hidden, horizon * action_dim)

    def forward(self, condition: Tensor) -> Tensor:
        """Return the chunk (B, T, A)."""
        chunk: Tensor = self.action_head(condition)
        return chunk.view(-1, *self.chunk_shape)

    def error(
        self, condition: Tensor, chunk: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """What behaviour cloning takes the mean of, shape (B, T, A); nothing is drawn."""
        return cloning_error(self(condition), chunk)

    def loss(
        self,
        condition: Tensor,
        chunk: Tensor,
        valid: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Mean of `error` over the valid steps (B, T)."""
        return masked_mean(self.error(condition, chunk, generator), valid)


class DiffusionActionDecoder(nn.Module):
    """Samples the chunk: trained as DDPM (2006.11239), sampled as DDIM (2010.02502).

    Args:
        num_steps: Noise levels in training.
        sample_steps: Levels visited in sampling.
    """

    alpha_bar: Tensor

    def __init__(
        self,
        condition_dim: int,
        action_dim: int,
        horizon: int,
        hidden: int,
        num_steps: int = 100,
        sample_steps: int = 10,
    ) -> None:
        super().__init__()
        self.chunk_shape = (horizon, action_dim)
        self.sample_steps = sample_steps
        self.time_dim = 32
        size = horizon * action_dim
        self.denoiser = mlp(size + condition_dim + self.time_dim, hidden, size)
        self.register_buffer("alpha_bar", cosine_alpha_bar(num_steps), persistent=False)

    def predict_noise(self, noisy: Tensor, condition: Tensor, step: Tensor) -> Tensor:
        """Return the noise (B, T, A) in `noisy` (B, T, A) at the levels `step` (B,)."""
        time = time_embedding(step / len(self.alpha_bar), self.time_dim)
        x = torch.cat([noisy.flatten(1), condition, time], dim=-1)
        noise: Tensor = self.denoiser(x)
        return noise.view(noisy.shape)

    def error(
        self, condition: Tensor, chunk: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Squared error of the noise predicted at random levels (2006.11239, eq. 14), (B, T, A)."""
        size, device = len(chunk), chunk.device
        step = torch.randint(len(self.alpha_bar), (size,), generator=generator).to(device)
        noise = torch.randn(chunk.shape, generator=generator).to(device)
        alpha = self.alpha_bar[step][:, None, None]
        noisy = alpha.sqrt() * chunk + (1 - alpha).sqrt() * noise
        error = self.predict_noise(noisy, condition, step) - noise
        return error.square()

    def loss(
        self,
        condition: Tensor,
        chunk: Tensor,
        valid: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Mean of `error` over the valid steps (B, T)."""
        return masked_mean(self.error(condition, chunk, generator), valid)

    def forward(
        self, condition: Tensor, num_samples: int = 1, generator: torch.Generator | None = None
    ) -> Tensor:
        """Sample chunks.

        Args:
            condition: Shape (B, K).
            num_samples: Chunks for each row of `condition`.
            generator: Where the starting noise comes from; `None` starts from the same noise each
                time, so that the same condition gives the same chunk.

        Returns:
            Shape (B * num_samples, T, A); the samples of a row lie next to each other.
        """
        condition = condition.repeat_interleave(num_samples, dim=0)
        generator = generator or torch.Generator().manual_seed(0)
        noise = torch.randn((len(condition), *self.chunk_shape), generator=generator)

        def denoise(x: Tensor, step: int) -> Tensor:
            return self.predict_noise(x, condition, torch.full((len(x),), step, device=x.device))

        return ddim_sample(denoise, noise.to(condition.device), self.alpha_bar, self.sample_steps)


def ddim_sample(
    denoise: Callable[[Tensor, int], Tensor], noise: Tensor, alpha_bar: Tensor, sample_steps: int
) -> Tensor:
    """Turn noise into samples without adding any (2010.02502, eq. 12 with sigma = 0).

    The clean sample guessed on the way is clipped, which the paper does not do: at the first
    levels it is the quotient of two small numbers.

    Args:
        denoise: Gives the noise in `x` at a level.
        noise: Start, of any shape.
        alpha_bar: Remaining signal at each level, falling, shape (num_steps,).
        sample_steps: Levels visited.
    """
    levels = torch.linspace(len(alpha_bar) - 1, 0, sample_steps).round().long().tolist()
    x = noise
    for level, following in zip(levels, [*levels[1:], None], strict=True):
        alpha = alpha_bar[level]
        predicted = denoise(x, level)
        clean = (x - (1 - alpha).sqrt() * predicted) / alpha.sqrt()
        clean = clean.clamp(-CLIP_SAMPLE, CLIP_SAMPLE)
        if following is None:
            return clean
        rest = (x - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        x = alpha_bar[following].sqrt() * clean + (1 - alpha_bar[following]).sqrt() * rest
    return x


def cosine_alpha_bar(num_steps: int) -> Tensor:
    """Remaining signal at each noise level, shape (num_steps,) (2102.09672, eq. 17)."""
    time = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    signal = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
    beta = (1 - signal[1:] / signal[:-1]).clamp(max=0.999)
    return torch.cumprod(1 - beta, dim=0).float()


def time_embedding(time: Tensor, dim: int) -> Tensor:
    """Sines and cosines of `time` (B,) in [0, 1], shape (B, dim)."""
    exponent = torch.arange(dim // 2, device=time.device) / (dim // 2)
    angle = time[:, None] * 1000.0 * torch.exp(-math.log(10_000.0) * exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class TargetDecoder(nn.Module):
    """Training only: the position of the object that the instruction names.

    Predicting it from what the action decoder sees makes the words find their object sooner.
    """

    mean_m: Tensor
    std_m: Tensor

    def __init__(self, condition_dim: int, hidden: int, mean_m: Tensor, std_m: Tensor) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(condition_dim, hidden), nn.GELU(), nn.Linear(hidden, 3))
        self.register_buffer("mean_m", mean_m)
        self.register_buffer("std_m", std_m)

    def forward(self, condition: Tensor) -> Tensor:
        """Position in the base frame [m], shape (B, 3), for a condition (B, K)."""
        position: Tensor = self.head(condition)
        return position * self.std_m + self.mean_m

    def loss(self, condition: Tensor, target_m: Tensor) -> Tensor:
        """Mean absolute error in standard deviations; zero for no rows."""
        error: Tensor = (self(condition) - target_m) / self.std_m
        return error.abs().sum() / max(1, error.numel())
