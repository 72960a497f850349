"""A tiny model whose every weight matters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vla_ros.model.config import ModelConfig, preset
from vla_ros.model.vla import VLAModel


@pytest.fixture
def config() -> ModelConfig:
    return preset("tiny", cameras=("front", "wrist"), state_features=5, action_dim=3)


@pytest.fixture
def model(config: ModelConfig) -> VLAModel:
    torch.manual_seed(0)
    model = VLAModel(config).eval().requires_grad_(False)
    for parameter in model.parameters():  # fresh weights are too small to tell effects from noise
        parameter.normal_(std=0.2)
    return model


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, C, 3, H, W), tokens (B, L), state (B, F) of two rows."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 2, 3, 32, 32, generator=generator) * 2 - 1
    tokens = torch.tensor([[1, 4, 5, 6], [1, 7, 8, 9]])
    return images, tokens, torch.randn(2, 5, generator=generator)
