"""Training objectives."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vla_ros.model.pointing import cell_centers


def behavior_cloning_loss(
    predicted_actions: Tensor, expert_actions: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Mean absolute error of normalised chunks.

    The specification squares the error; the absolute one does not average over two ways of doing
    the same thing and gives finer motion (ACT, 2304.13705).

    Args:
        predicted_actions: Shape (B, T, A).
        expert_actions: Shape (B, T, A).
        valid: bool (B, T), false for steps beyond the episode's end; `None` when all count.
    """
    return masked_mean(cloning_error(predicted_actions, expert_actions), valid)


def cloning_error(predicted_actions: Tensor, expert_actions: Tensor) -> Tensor:
    """What `behavior_cloning_loss` takes the mean of, shape (B, T, A)."""
    return (predicted_actions - expert_actions).abs()


def row_means(error: Tensor, valid: Tensor) -> Tensor:
    """Mean of `error` (B, T, A) over the valid steps (B, T) of each row, shape (B,)."""
    weight = valid.to(error.dtype)
    return (error.mean(dim=-1) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def masked_mean(error: Tensor, valid: Tensor | None) -> Tensor:
    """Mean of `error` (B, T, A) over the valid steps (B, T); zero when there is none."""
    if valid is None:
        return error.mean()
    weight = valid.to(error.dtype)
    return (error.mean(dim=-1) * weight).sum() / weight.sum().clamp(min=1)


def pointing_loss(named: Tensor, target_uv: Tensor) -> Tensor:
    """Cross-entropy of where the named object is in a picture; zero when it is in none.

    Args:
        named: Log-probability over the N cells of a square grid, shape (B, N).
        target_uv: Where it is, right and down, -1 to 1, shape (B, 2); a row beyond that range, or
            NaN, does not count: it is out of sight or unknown.
    """
    edge = math.isqrt(named.shape[-1])
    in_sight = (target_uv.abs() < 1).all(dim=-1)
    offset = cell_centers(edge).to(named) - target_uv[in_sight, None]
    # Spread over half a cell's edge, so that between two cells both are right.
    wanted = (-offset.square().sum(dim=-1) * edge**2 / 2).softmax(dim=-1)
    error = -(wanted * named[in_sight]).sum(dim=-1)
    return error.sum() / max(1, error.numel())


def contrastive_loss(
    vision_feats: Tensor,
    language_feats: Tensor,
    instruction_id: Tensor | None = None,
    temperature: float = 0.07,
) -> Tensor:
    """Symmetric InfoNCE: each picture finds its text and each text its picture.

    Args:
        vision_feats: Pooled and projected, shape (B, D).
        language_feats: Pooled and projected, shape (B, D).
        instruction_id: int (B,); pairs with the same instruction are no negatives of each other.
        temperature: Lower is sharper.
    """
    vision = F.normalize(vision_feats, dim=-1)
    language = F.normalize(language_feats, dim=-1)
    logits = vision @ language.T / temperature
    if instruction_id is not None:
        same = instruction_id[:, None] == instruction_id[None, :]
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, -torch.inf)
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
