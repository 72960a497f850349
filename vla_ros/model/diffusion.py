"""The sampler of the diffusion head: noise levels and DDIM. Nothing here knows of robots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

CLIP_SAMPLE = 5.0

Estimate = Callable[[Tensor], Tensor]
"""Guesses the clean sample in a noisy one of the same shape."""


class Guide(Protocol):
    """Corrects the clean samples that the sampler guesses on its way."""

    def __call__(self, estimate: Estimate, x: Tensor, alpha: Tensor) -> Tensor:
        """The clean sample to go on with, guessed from `x` with the remaining signal `alpha`."""


def ddim_sample(
    predict_velocity: Callable[[Tensor, int], Tensor],
    noise: Tensor,
    alpha_bar: Tensor,
    sample_steps: int,
    guide: Guide | None = None,
) -> Tensor:
    """Turn noise into samples without adding any (2010.02502, eq. 12 with sigma = 0).

    The clean sample guessed on the way is clipped, which the paper does not do.

    Args:
        predict_velocity: Gives `velocity` of what `x` is made of at a level.
        noise: Start, of any shape.
        alpha_bar: Remaining signal at each level, falling, shape (num_steps,).
        sample_steps: Levels visited.
        guide: Corrects the clean sample at each level; `None` takes it as it is guessed.
    """
    levels = torch.linspace(len(alpha_bar) - 1, 0, sample_steps).round().long().tolist()
    x = noise
    for level, following in zip(levels, [*levels[1:], None], strict=True):
        alpha = alpha_bar[level]

        def estimate(noisy: Tensor, level: int = level, alpha: Tensor = alpha) -> Tensor:
            clean = alpha.sqrt() * noisy - (1 - alpha).sqrt() * predict_velocity(noisy, level)
            return clean.clamp(-CLIP_SAMPLE, CLIP_SAMPLE)

        clean = estimate(x) if guide is None else guide(estimate, x, alpha)
        if following is None:
            return clean
        rest = (x - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        x = alpha_bar[following].sqrt() * clean + (1 - alpha_bar[following]).sqrt() * rest
    return x


def velocity(clean: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """What the network predicts (2202.00512, section 4), with the remaining signal `alpha`.

    Of pure noise it tells the clean sample, of a clean one the noise. The noise alone tells nothing
    of a clean sample in pure noise, and nearby its errors are divided by almost zero: from a
    network that has seen little, the chunks then spread much further than those it learned from.
    """
    return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean


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
