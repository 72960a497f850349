"""The network in training: losses, optimiser, moving average of the weights, saved state."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vla_ros.errors import CheckpointError
from vla_ros.learn.batches import Batch
from vla_ros.model.alignment import AlignmentHeads
from vla_ros.model.decoders import TargetDecoder
from vla_ros.model.losses import (
    cloning_error,
    contrastive_loss,
    masked_mean,
    pointing_loss,
    row_means,
)
from vla_ros.model.vision import to_input
from vla_ros.model.vla import Fused, VLAModel
from vla_ros.policy.checkpoint import replace_file

_EMA_DECAY = 0.999
_WEIGHT_DECAY = 0.01
_MAX_GRADIENT = 1.0
# A policy in use is not told the kind of task: the other samples teach it to go by the words.
_TOLD_TASK = 0.5


@dataclass(frozen=True, kw_only=True)
class Errors:
    """How far off a batch was.

    Attributes:
        loss: What was minimised.
        action: Mean absolute error of the normalised chunk.
        target_m: Mean distance of the predicted from the named object's true position.
        action_of_row: What `action` is of each row alone, shape (B,).
        contrastive: How badly pictures and words find each other; NaN without that objective.
    """

    loss: float
    action: float
    target_m: float
    action_of_row: NDArray[np.float32]
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


class Learner:
    """Takes optimiser steps and keeps a moving average of the weights.

    Args:
        networks: What is trained, already on `device`.
        lr: Peak learning rate.
        weights: Of the objectives.
        device: Where the networks are.
    """

    def __init__(
        self, networks: Networks, lr: float, weights: Weights, device: torch.device
    ) -> None:
        self.networks, self._device = networks, device
        self.average = copy.deepcopy(networks).eval().requires_grad_(False)
        self._weights, self._lr = weights, lr
        self.step = 0
        self._parameters = list(networks.parameters())
        self._optimizer = torch.optim.AdamW(_decay_groups(networks), lr=lr, fused=True)

    def learn(
        self, images: Tensor, batch: Batch, lr_scale: float, generator: torch.Generator
    ) -> Errors:
        """Take one step.

        Args:
            images: What augmentation made of the batch's pictures, float (B, C, 3, H, W).
            batch: The rest of it.
            lr_scale: Of the peak learning rate, in [0, 1].
            generator: Of the CPU.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * lr_scale
        self.networks.train()
        task_id = self._told_tasks(batch, generator)
        fused, said = self._fuse(self.networks, images.to(self._device), batch, task_id)
        chunk, valid = self._tensor(batch.chunk), self._tensor(batch.valid)
        decoder = self.networks.model.action_decoder
        error = decoder.error(fused.condition, chunk, generator)
        action = masked_mean(error, valid)
        seen, target_m = self._known_targets(fused, batch)
        loss = action + self._weights.target * self.networks.target_decoder.loss(seen, target_m)
        loss = loss + self._weights.pointing * self._pointing_loss(fused, batch)
        aligned = self._contrastive_loss(fused, said, batch)
        loss = loss if aligned is None else loss + self._weights.contrastive * aligned
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._parameters, _MAX_GRADIENT)
        self._optimizer.step()
        self.step += 1
        self._update_average()
        with torch.no_grad():
            distance_m = _distance_m(self.networks.target_decoder(seen), target_m)
        errors = _errors(loss, action, distance_m, row_means(error.detach(), valid))
        return errors if aligned is None else replace(errors, contrastive=aligned.item())

    @torch.no_grad()
    def judge(self, batch: Batch) -> Errors:
        """Errors of the averaged weights on `batch`, its pictures as they are."""
        fused, _ = self._fuse(self.average, to_input(self._tensor(batch.pixels)), batch)
        predicted = self.average.model.action_decoder(fused.condition)
        chunk, valid = self._tensor(batch.chunk), self._tensor(batch.valid)
        error = cloning_error(predicted, chunk)
        action = masked_mean(error, valid)
        seen, target_m = self._known_targets(fused, batch)
        target = self.average.target_decoder
        loss = action + self._weights.target * target.loss(seen, target_m)
        distance_m = _distance_m(target(seen), target_m)
        return _errors(loss, action, distance_m, row_means(error, valid))

    def weights(self) -> dict[str, NDArray[Any]]:
        """Averaged weights of the model by name."""
        tensors = self.average.model.state_dict()
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def save(self, path: Path, extra: dict[str, Any]) -> None:
        """Write all that `restore` needs, at once, with the plain values `extra`."""
        buffer = io.BytesIO()
        state = {
            "step": self.step,
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "extra": extra,
        }
        torch.save(state, buffer)
        replace_file(path, buffer.getvalue())

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `read_state` returned."""
        self.step = state["step"]
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _fuse(
        self, networks: Networks, images: Tensor, batch: Batch, task_id: Tensor | None = None
    ) -> tuple[Fused, Tensor]:
        """What the decoders work from, and the CLS token of the text, shape (B, D)."""
        model = networks.model
        text, mask = model.encode_text(self._tensor(batch.tokens))
        fused = model.fuse(images, text, mask, self._tensor(batch.state), task_id)
        return fused, text[:, 0]

    def _told_tasks(self, batch: Batch, generator: torch.Generator) -> Tensor | None:
        """Number of each row's task, 0 for those that are not told, shape (B,)."""
        if self.networks.model.task_embed is None:
            return None
        told = torch.rand(len(batch.task), generator=generator) < _TOLD_TASK
        return ((torch.from_numpy(batch.task) + 1) * told).to(self._device)

    def _known_targets(self, fused: Fused, batch: Batch) -> tuple[Tensor, Tensor]:
        """Conditions (N, K) and positions (N, 3) of the rows whose target is known."""
        known = self._tensor(np.isfinite(batch.target_m.sum(axis=1)))
        return fused.condition[known], self._tensor(batch.target_m)[known]

    def _pointing_loss(self, fused: Fused, batch: Batch) -> Tensor:
        """Sum over the cameras; zero for a model that does not point."""
        target_uv = self._tensor(batch.target_uv)
        losses = [pointing_loss(named, target_uv[:, i]) for i, named in enumerate(fused.named)]
        return torch.stack(losses).sum() if losses else torch.zeros((), device=self._device)

    def _contrastive_loss(self, fused: Fused, said: Tensor, batch: Batch) -> Tensor | None:
        """Pictures and words of a row belong together; `None` without that objective."""
        if self.networks.alignment is None:
            return None
        features = self.networks.alignment(fused.seen, said)
        return contrastive_loss(*features, self._tensor(batch.instruction))

    @torch.no_grad()
    def _update_average(self) -> None:
        """Follow the weights; the early average forgets sooner, so the start leaves no trace."""
        decay = min(_EMA_DECAY, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self._parameters, strict=True):
            mean.lerp_(value, 1 - decay)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def read_state(path: Path) -> dict[str, Any]:
    """Read what `Learner.save` wrote.

    Raises:
        CheckpointError: It is missing or corrupt.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"training state {path} cannot be read: {error}") from error
    return state


def lr_scale(progress: float, step: int, warm_up_steps: int) -> float:
    """Part of the peak learning rate: linear warm-up, then a cosine to zero.

    Args:
        progress: Part of the training that is over, in [0, 1].
        step: Steps taken.
        warm_up_steps: Steps until the peak.
    """
    warm_up = min(1.0, (step + 1) / warm_up_steps)
    return warm_up * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def _errors(loss: Tensor, action: Tensor, target_m: float, action_of_row: Tensor) -> Errors:
    return Errors(
        loss=loss.item(),
        action=action.item(),
        target_m=target_m,
        action_of_row=action_of_row.cpu().numpy(),
    )


def _distance_m(predicted: Tensor, target_m: Tensor) -> float:
    return (predicted - target_m).norm(dim=1).mean().item() if len(target_m) else math.nan


def _decay_groups(networks: nn.Module) -> list[dict[str, Any]]:
    """Weight decay on matrices alone: biases, norms, positions and words are left alone."""
    plain = ("pos_embed", "cls_token", "token_embed", "task_embed")
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in networks.named_parameters():
        is_matrix = parameter.ndim >= 2 and not any(word in name for word in plain)
        (matrices if is_matrix else others).append(parameter)
    return [
        {"params": matrices, "weight_decay": _WEIGHT_DECAY},
        {"params": others, "weight_decay": 0.0},
    ]
