"""The network in training: optimiser, moving average of the weights, saved state."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from vla_ros.durable import replace_file
from vla_ros.errors import CheckpointError, ParameterError, TrainingError
from vla_ros.learn.batches import Batch
from vla_ros.learn.objectives import Errors, Networks, Objective, Weights
from vla_ros.learn.team import Team
from vla_ros.learn.train_options import TrainOptions
from vla_ros.model.alignment import AlignmentHeads
from vla_ros.model.config import ModelConfig
from vla_ros.model.decoders import TargetDecoder
from vla_ros.model.vla import VLAModel
from vla_ros.policy.checkpoint import Weights as NamedWeights
from vla_ros.policy.checkpoint import read_weights
from vla_ros.policy.normalizer import Float32Array
from vla_ros.policy.vla_policy import choose_device

_EMA_DECAY = 0.999
_WEIGHT_DECAY = 0.01
_MAX_GRADIENT = 1.0


class Learner:
    """Takes optimiser steps and keeps a moving average of the weights.

    Args:
        networks: What is trained, already on its device.
        lr: Peak learning rate.
        objective: What is minimised.
        team: Who else trains.
    """

    def __init__(self, networks: Networks, lr: float, objective: Objective, team: Team) -> None:
        self.networks, self._objective, self._team = networks, objective, team
        self.average = copy.deepcopy(networks).eval().requires_grad_(False)
        self._lr = lr
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

        Raises:
            TrainingError: The loss or its gradient is not finite; the weights are as before.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr * lr_scale
        self.networks.train()
        loss, errors = self._objective(self.networks, images, batch, generator)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._team.average_gradients(self._parameters)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, _MAX_GRADIENT).item()
        if not math.isfinite(norm):
            raise TrainingError(
                f"step {self.step + 1} has a loss of {errors.loss:g} and a gradient of {norm:g}, "
                f"at learning rate {self._lr * lr_scale:g}: what was saved before is left as it "
                "is; begin again with a lower --lr, or look for numbers in the data that are far "
                "off"
            )
        self._optimizer.step()
        self.step += 1
        self._update_average()
        return errors

    def judge(self, batch: Batch) -> Errors:
        """Errors of the averaged weights on `batch`, its pictures as they are."""
        return self._objective.judge(self.average, batch)

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
        """Go on from what `read_state` returned.

        Raises:
            CheckpointError: It is of other networks.
        """
        try:
            self.networks.load_state_dict(state["networks"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(f"the training state is of another model: {error}") from error

    @torch.no_grad()
    def _update_average(self) -> None:
        """Follow the weights; the early average forgets sooner, so the start leaves no trace."""
        decay = min(_EMA_DECAY, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self._parameters, strict=True):
            mean.lerp_(value, 1 - decay)


def new_learner(
    options: TrainOptions,
    config: ModelConfig,
    target_statistics: tuple[Float32Array, Float32Array],
    team: Team,
) -> Learner:
    """A learner with random weights, or those of the checkpoint to begin with.

    Args:
        options: What the training depends on.
        config: Sizes of the model.
        target_statistics: Mean and standard deviation of the named objects' positions [m].
        team: Who else trains.

    Raises:
        ParameterError: The device is not there, or not for mixed precision.
    """
    device = choose_device(options.device)
    if options.precision == "bf16" and device.type != "cuda":
        problem = (
            f"precision is 'bf16', the device is {device}: mixed precision is for CUDA alone, "
            "a CPU is slower with it than without; use fp32"
        )
        raise ParameterError("train", [problem])
    torch.manual_seed(options.seed)
    statistics = [torch.from_numpy(values) for values in target_statistics]
    head = TargetDecoder(config.condition_dim, config.width, *statistics)
    model = VLAModel(config)
    if options.init:
        _begin_with(model, read_weights(options.init))
    aligns = options.contrastive_weight > 0
    alignment = AlignmentHeads(len(config.cameras), config.width) if aligns else None
    weights = Weights(
        target=options.target_weight,
        pointing=options.pointing_weight,
        contrastive=options.contrastive_weight,
    )
    objective = Objective(weights, device, team=team, mixed=options.precision == "bf16")
    return Learner(Networks(model, head, alignment).to(device), options.lr, objective, team)


def _begin_with(model: VLAModel, weights: NamedWeights) -> None:
    """Take over `weights`.

    Words that are new to them keep their random embeddings, and so do glimpses their weights. What
    is new to their decoder is not heard yet: the columns of a prefix or a glimpse begin with zero.

    Raises:
        CheckpointError: They are of another model.
    """
    tensors = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
    wanted = model.state_dict()
    name = "language_encoder.token_embed.weight"
    if name in wanted:  # a pretrained encoder of sentences has no words to learn
        tensors[name] = torch.cat([tensors[name], wanted[name][len(tensors[name]) :]])
    for name, value in wanted.items():
        if name.startswith("action_decoder.") and value.ndim == 2:
            if name in tensors:
                tensors[name] = pad(tensors[name], (0, value.shape[1] - tensors[name].shape[1]))
        elif name.startswith("glimpses."):
            tensors.setdefault(name, value)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"--init: its weights do not fit this model: {error}") from error


def read_state(path: Path) -> dict[str, Any]:
    """Read what `Learner.save` wrote.

    Raises:
        CheckpointError: It is missing or corrupt.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, UnpicklingError) as error:
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
