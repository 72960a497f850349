"""What the running plan says of a new chunk's first steps: kept, given as input, or drawn toward.

The arm goes on while the policy computes, so the first steps of a new chunk are played from the
plan before. A decoder that knows them continues that motion instead of another one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Prefix(NamedTuple):
    """The running plan at the due times of a new chunk's steps.

    Attributes:
        chunk: Normalised actions, shape (B, T, A); what lies beyond `known` is not looked at.
        frozen: int64 (B,): first steps that will have been played when the new chunk is there.
        known: int64 (B,): steps that the running plan reaches, at least `frozen`.
    """

    chunk: Tensor
    frozen: Tensor
    known: Tensor

    def keep(self, chunk: Tensor) -> Tensor:
        """`chunk` (B, T, A) with the frozen steps as they are in the running plan."""
        return torch.where(first_steps(self.frozen, chunk.shape[1])[..., None], self.chunk, chunk)


def first_steps(count: Tensor, horizon: int) -> Tensor:
    """The first `count` (B,) of `horizon` steps, bool (B, T)."""
    return torch.arange(horizon, device=count.device) < count[:, None]


def prefix_features(
    prefix: Prefix | None, like: Tensor, delay_steps: int, action_dim: int
) -> Tensor:
    """What a decoder trained with prefixes is told of one, shape (B, delay_steps * (A + 1)).

    The frozen steps, zeros beyond, and for each step whether it is frozen.

    Args:
        prefix: At most `delay_steps` of it are frozen; `None` says that no step is.
        like: A tensor with as many rows B, of the kind that is wanted.
        delay_steps: Most steps that can be frozen; 0 gives no columns.
        action_dim: Length A of an action.
    """
    if prefix is None:
        return like.new_zeros(len(like), delay_steps * (action_dim + 1))
    is_frozen = first_steps(prefix.frozen, delay_steps)[..., None].to(like)
    steps = prefix.chunk[:, :delay_steps].to(like)
    return torch.cat([steps * is_frozen, is_frozen], dim=-1).flatten(1)


def soft_mask(prefix: Prefix, horizon: int) -> Tensor:
    """How much each step counts in guidance, shape (B, T) (2506.07339, eq. 5).

    1 for the frozen steps, 0 beyond the running plan, and between them c (e^c - 1) / (e - 1), where
    c falls from almost 1 to almost 0.
    """
    step = torch.arange(horizon, device=prefix.chunk.device)
    known, frozen = prefix.known[:, None], prefix.frozen[:, None]
    left = ((known - step) / (known - frozen + 1)).clamp(0.0, 1.0)
    fading = left * torch.expm1(left) / math.expm1(1.0)
    return torch.where(step < frozen, 1.0, fading)
