"""What a training minimises: the error of the action, and what helps it, in a weighted sum."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_ros.learn.batches import Batch
from vla_ros.learn.team import ALONE, Team
from vla_ros.model.alignment import AlignmentHeads
from vla_ros.model.config import ModelConfig
from vla_ros.model.decoders import TargetDecoder
from vla_ros.model.losses import (
    cloning_error,
    contrastive_loss,
    masked_mean,
    pointing_loss,
    row_means,
)
from vla_ros.model.prefix import first_steps
from vla_ros.model.vision import to_input
from vla_ros.model.vla import Fused, VLAModel

# A policy in use is not told the kind of task: the other samples teach it to go by the words.
_TOLD_TASK = 0.5


@dataclass(frozen=True, kw_only=True)
class Errors:
    """How far off a batch was.

    Attributes:
        loss: What was minimised.
        action: Mean error that the decoder minimises: absolute, of the normalised chunk; squared,
            of a diffusion head's velocity. On held-out rows it is the former for both.
        target_m: Mean distance of the predicted from the named object's true position.
        action_of_row: What `action` is of each row alone, shape (B,).
        steps_of_row: How many steps of each row count in `action`, shape (B,).
        contrastive: How badly pictures and words find each other; NaN without that objective.
    """

    loss: float
    action: float
    target_m: float
    action_of_row: NDArray[np.float32]
    steps_of_row: NDArray[np.int64]
    contrastive: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the loss is made of beside the action, whose weight is 1.

    Attributes:
        target: Of the named object's position.
        pointing: Of its place in the pictures.
        contrastive: Of pictures and words finding each other.
    """

    target: float
    pointing: float
    contrastive: float = 0.0


class Networks(nn.Module):
    """The model, and the heads that only training needs.

    Args:
        model: What becomes the policy.
        target_decoder: Tells where the named object is.
        alignment: Projects pictures and words; `None` without the contrastive objective.
    """

    def __init__(
        self,
        model: VLAModel,
        target_decoder: TargetDecoder,
        alignment: AlignmentHeads | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.target_decoder = target_decoder
        self.alignment = alignment


class Objective:
    """The weighted sum.

    Args:
        weights: Of its parts.
        device: Where the networks are.
        team: Who else trains, on other rows.
        mixed: Whether matrix products are computed in bf16.
    """

    def __init__(
        self, weights: Weights, device: torch.device, *, team: Team = ALONE, mixed: bool = False
    ) -> None:
        self._weights, self._device, self._team, self._mixed = weights, device, team, mixed

    def __call__(
        self, networks: Networks, images: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Errors]:
        """The loss to take gradients of, and the errors behind it.

        Args:
            networks: In training.
            images: What augmentation made of the batch's pictures, float (B, C, 3, H, W).
            batch: The rest of it.
            generator: Of the CPU.
        """
        task_id = self._told_tasks(networks, batch, generator)
        delay, batch = delayed(networks.model.config, batch, generator)
        with self._precision():
            fused, said = self._fuse(networks, images.to(self._device), batch, task_id)
            chunk = self._tensor(batch.chunk)
            given = None if delay is None else delay.to(self._device)
            decoder = networks.model.action_decoder
            error = decoder.error(fused.condition, chunk, generator, given)
            loss, action, aligned = self._sum(networks, fused, said, error, batch)
        with torch.no_grad():
            distance_m = _distance_m(networks, *self._known_targets(fused, batch))
        errors = Errors(
            loss=loss.item(),
            action=action.item(),
            target_m=distance_m,
            action_of_row=row_means(error.detach(), self._tensor(batch.valid)).cpu().numpy(),
            steps_of_row=batch.valid.sum(axis=1),
            contrastive=math.nan if aligned is None else aligned.item(),
        )
        return loss, errors

    @torch.no_grad()
    def judge(self, networks: Networks, batch: Batch) -> Errors:
        """Errors on `batch`, its pictures as they are, no task told."""
        fused, _ = self._fuse(networks, to_input(self._tensor(batch.pixels)), batch, None)
        predicted = networks.model.action_decoder(fused.condition)
        chunk, valid = self._tensor(batch.chunk), self._tensor(batch.valid)
        error = cloning_error(predicted, chunk)
        action = masked_mean(error, valid)
        seen, target_m = self._known_targets(fused, batch)
        loss = action + self._weights.target * networks.target_decoder.loss(seen, target_m)
        return Errors(
            loss=loss.item(),
            action=action.item(),
            target_m=_distance_m(networks, seen, target_m),
            action_of_row=row_means(error, valid).cpu().numpy(),
            steps_of_row=batch.valid.sum(axis=1),
        )

    def _sum(
        self, networks: Networks, fused: Fused, said: Tensor, error: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss, the action's part and the contrastive part of it, before weighting."""
        weights = self._weights
        seen, target_m = self._known_targets(fused, batch)
        in_sight = (np.abs(batch.target_uv) < 1).all(axis=2).sum(axis=0).tolist()
        counts = [int(batch.valid.sum()), len(seen), *in_sight]
        of_action, of_target, *of_cameras = self._team.factors(counts)
        action = masked_mean(error, self._tensor(batch.valid)) * of_action
        target = networks.target_decoder.loss(seen, target_m) * of_target
        loss = action + weights.target * target
        loss = loss + weights.pointing * self._pointing_loss(fused, batch, of_cameras)
        aligned = self._contrastive_loss(networks, fused, said, batch)
        if aligned is not None:
            loss = loss + weights.contrastive * aligned
        return loss, action, aligned

    def _pointing_loss(self, fused: Fused, batch: Batch, factors: list[float]) -> Tensor:
        """Sum over the cameras; zero for a model that does not point."""
        target_uv = self._tensor(batch.target_uv)
        losses = [
            pointing_loss(named, target_uv[:, i]) * factors[i]
            for i, named in enumerate(fused.named)
        ]
        return torch.stack(losses).sum() if losses else torch.zeros((), device=self._device)

    def _contrastive_loss(
        self, networks: Networks, fused: Fused, said: Tensor, batch: Batch
    ) -> Tensor | None:
        """Pictures and words of a row belong together; `None` without that objective."""
        if networks.alignment is None:
            return None
        seen, heard = networks.alignment(fused.seen, said)
        return contrastive_loss(seen, heard, self._tensor(batch.instruction))

    def _fuse(
        self, networks: Networks, images: Tensor, batch: Batch, task_id: Tensor | None
    ) -> tuple[Fused, Tensor]:
        """What the decoders work from, and the CLS token of the text, shape (B, D)."""
        model = networks.model
        text, mask = model.encode_text(self._tensor(batch.tokens))
        fused = model.fuse(images, text, mask, self._tensor(batch.state), task_id)
        return fused, text[:, 0]

    def _told_tasks(
        self, networks: Networks, batch: Batch, generator: torch.Generator
    ) -> Tensor | None:
        """Number of each row's task, 0 for those that are not told, shape (B,)."""
        if networks.model.task_embed is None:
            return None
        told = torch.rand(len(batch.task), generator=generator) < _TOLD_TASK
        return ((torch.from_numpy(batch.task) + 1) * told).to(self._device)

    def _known_targets(self, fused: Fused, batch: Batch) -> tuple[Tensor, Tensor]:
        """Conditions (N, K) and positions (N, 3) of the rows whose target is known."""
        known = self._tensor(np.isfinite(batch.target_m.sum(axis=1)))
        return fused.condition[known], self._tensor(batch.target_m)[known]

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._mixed)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def delayed(
    config: ModelConfig, batch: Batch, generator: torch.Generator
) -> tuple[Tensor | None, Batch]:
    """How many first steps of each row are given, int64 (B,), and the batch without them.

    Between none and all that can be, each as often (2512.05964).
    """
    most = config.rtc_delay_steps
    if not most:
        return None, batch
    delay = torch.randint(most + 1, (len(batch.chunk),), generator=generator)
    counts = batch.valid & ~first_steps(delay, batch.valid.shape[1]).numpy()
    return delay, replace(batch, valid=counts)


def _distance_m(networks: Networks, seen: Tensor, target_m: Tensor) -> float:
    if not len(target_m):
        return math.nan
    off: Tensor = networks.target_decoder(seen) - target_m
    return float(off.norm(dim=1).mean().item())
