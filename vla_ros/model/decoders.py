"""From the fused features to an action chunk, normalised, shape (B, T, A).

`condition` (B, K) is that of `vla.Fused`.

A decoder with `delay_steps` was trained with a simulated delay (2512.05964): up to so many first
steps of a chunk are given to it, from the running plan, and it decides on the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_ros.model.diffusion import cosine_alpha_bar, ddim_sample, time_embedding, velocity
from vla_ros.model.guidance import PrefixGuide
from vla_ros.model.losses import cloning_error, masked_mean
from vla_ros.model.prefix import Prefix, prefix_features

# Noises for each chunk in a step of training.
_DRAWS = 8


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
    """Regresses the chunk.

    Args:
        delay_steps: Most first steps that can be given to it.
    """

    def __init__(
        self,
        condition_dim: int,
        action_dim: int,
        horizon: int,
        hidden: int,
        *,
        delay_steps: int = 0,
    ) -> None:
        super().__init__()
        self.chunk_shape = (horizon, action_dim)
        self.delay_steps = delay_steps
        given = delay_steps * (action_dim + 1)
        self.action_head = mlp(condition_dim + given, hidden, horizon * action_dim)

    def forward(self, condition: Tensor, prefix: Prefix | None = None) -> Tensor:
        """Return the chunk (B, T, A).

        Args:
            condition: Shape (B, K).
            prefix: For a decoder with `delay_steps`, of which at most so many are frozen; they are
                in the chunk as they are here.
        """
        given = prefix_features(prefix, condition, self.delay_steps, self.chunk_shape[1])
        chunk: Tensor = self.action_head(torch.cat([condition, given], dim=-1))
        chunk = chunk.view(-1, *self.chunk_shape)
        return chunk if prefix is None else prefix.keep(chunk)

    def error(
        self,
        condition: Tensor,
        chunk: Tensor,
        generator: torch.Generator | None = None,
        delay: Tensor | None = None,
    ) -> Tensor:
        """What behaviour cloning takes the mean of, shape (B, T, A); nothing is drawn.

        Args:
            condition: Shape (B, K).
            chunk: What is to come out, shape (B, T, A).
            generator: Of the CPU; not used.
            delay: int64 (B,): first steps that are given; `None` gives none.
        """
        prefix = None if delay is None else Prefix(chunk, delay, delay)
        return cloning_error(self(condition, prefix), chunk)

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

    It predicts a velocity (2202.00512) in place of the noise: the same model, another error.

    Args:
        num_steps: Noise levels in training.
        sample_steps: Levels visited in sampling.
        delay_steps: Most first steps that can be given to it. One without is guided toward a prefix
            instead, which takes gradients at every level.
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
        *,
        delay_steps: int = 0,
    ) -> None:
        super().__init__()
        self.chunk_shape = (horizon, action_dim)
        self.sample_steps, self.delay_steps = sample_steps, delay_steps
        self.time_dim = 32
        size = horizon * action_dim
        given = delay_steps * (action_dim + 1)
        self.velocity_head = mlp(size + condition_dim + self.time_dim + given, hidden, size)
        self.register_buffer("alpha_bar", cosine_alpha_bar(num_steps), persistent=False)

    def predict_velocity(
        self, noisy: Tensor, condition: Tensor, step: Tensor, prefix: Prefix | None = None
    ) -> Tensor:
        """Return the velocity (B, T, A) of `noisy` (B, T, A) at the levels `step` (B,).

        The frozen steps of `prefix` take the place of noisy ones, for a decoder trained with them.
        """
        noisy = noisy if prefix is None else prefix.keep(noisy)
        time = time_embedding(step / len(self.alpha_bar), self.time_dim)
        given = prefix_features(prefix, condition, self.delay_steps, self.chunk_shape[1])
        x = torch.cat([noisy.flatten(1), condition, time, given], dim=-1)
        predicted: Tensor = self.velocity_head(x)
        return predicted.view(noisy.shape)

    def error(
        self,
        condition: Tensor,
        chunk: Tensor,
        generator: torch.Generator | None = None,
        delay: Tensor | None = None,
    ) -> Tensor:
        """Squared error of the velocity predicted at random levels (2202.00512), (B, T, A).

        The mean of several levels and noises for each chunk, as in CogACT (2411.19650): what takes
        time is the condition, and what it is for shows through the noise sooner.

        With a `delay` (B,) the first steps are clean, and their error means nothing.
        """
        shape, device = chunk.shape, chunk.device
        condition, chunk = (x.repeat_interleave(_DRAWS, dim=0) for x in (condition, chunk))
        delay = None if delay is None else delay.repeat_interleave(_DRAWS)
        step = torch.randint(len(self.alpha_bar), (len(chunk),), generator=generator).to(device)
        noise = torch.randn(chunk.shape, generator=generator).to(device)
        alpha = self.alpha_bar[step][:, None, None]
        noisy = alpha.sqrt() * chunk + (1 - alpha).sqrt() * noise
        prefix = None if delay is None else Prefix(chunk, delay, delay)
        predicted = self.predict_velocity(noisy, condition, step, prefix)
        error = (predicted - velocity(chunk, noise, alpha)).square()
        return error.view(len(error) // _DRAWS, _DRAWS, *shape[1:]).mean(dim=1)

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
        self,
        condition: Tensor,
        prefix: Prefix | None = None,
        *,
        num_samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample chunks.

        Args:
            condition: Shape (B, K).
            prefix: The running plan, a row for each chunk; its frozen steps, at most `delay_steps`
                of them for a decoder that has any, are in the chunk as they are here.
            num_samples: Chunks for each row of `condition`.
            generator: Where the starting noise comes from; `None` starts from zeros, the middle of
                all noises, which ends near the middle of the chunks it could give: for a policy in
                use. The same noise each time would push every chunk the same way.

        Returns:
            Shape (B * num_samples, T, A); the samples of a row lie next to each other.

        Raises:
            ValueError: Several samples without a generator, which would all be the same.
        """
        if generator is None and num_samples > 1:
            raise ValueError(f"{num_samples} samples need a generator, else they are all the same")
        condition = condition.repeat_interleave(num_samples, dim=0)
        noise = torch.zeros((len(condition), *self.chunk_shape))
        if generator is not None:
            noise.normal_(generator=generator)
        guide = None if prefix is None or self.delay_steps else PrefixGuide(prefix)
        given = prefix if self.delay_steps else None
        if guide is not None:
            with torch.inference_mode(False):  # gradients are taken of nothing made in that mode
                condition = condition.clone()

        def predict(x: Tensor, step: int) -> Tensor:
            levels = torch.full((len(x),), step, device=x.device)
            return self.predict_velocity(x, condition, levels, given)

        start = noise.to(condition.device)
        chunk = ddim_sample(predict, start, self.alpha_bar, self.sample_steps, guide)
        return chunk if prefix is None else prefix.keep(chunk)


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
