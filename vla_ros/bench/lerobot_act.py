"""LeRobot's ACT with its own defaults and random weights, for a time beside ours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import Tensor

HEIGHT_PX, WIDTH_PX = 480, 640
_CAMERA, _STATE = "observation.images.front", "observation.state"


def lerobot_act(action_dim: int) -> Callable[[], Tensor]:
    """A plan of ACT's hundred steps from one picture of 480 x 640, on the CPU.

    Args:
        action_dim: Entries of an action, and of the state.
    """
    picture = PolicyFeature(type=FeatureType.VISUAL, shape=(3, HEIGHT_PX, WIDTH_PX))
    state = PolicyFeature(type=FeatureType.STATE, shape=(action_dim,))
    config = ACTConfig(
        input_features={_CAMERA: picture, _STATE: state},
        output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(action_dim,))},
        pretrained_backbone_weights=None,
        device="cpu",
    )
    policy = ACTPolicy(config).eval()
    inputs = {
        _CAMERA: torch.rand(1, 3, HEIGHT_PX, WIDTH_PX),
        _STATE: torch.randn(1, action_dim),
    }
    return lambda: policy.predict_action_chunk(dict(inputs))
