"""Write a checkpoint that was never trained, for tests that need a policy and no skill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vla_ros.model.config import preset
from vla_ros.model.tokenizer import Tokenizer
from vla_ros.model.vla import VLAModel
from vla_ros.policy.checkpoint import Checkpoint, write_checkpoint
from vla_ros.policy.features import POSE_FEATURES
from vla_ros.policy.normalizer import Normalizer
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path
from vla_ros.sim.scene import CAMERAS
from vla_ros.sim.tasks import COLORS, DIRECTIONS, PLACES, TEMPLATES

_HORIZON = 8
# Away from the table: the arm rises and turns, whatever the pictures say.
_DRIFT_RAD = np.array([0.04, -0.03, 0.0, 0.02, 0.0, 0.0, 0.03])


def write_untrained_checkpoint(folder: Path) -> Path:
    """Write it for the Panda and the words of the five tasks; return `folder`."""
    robot = load_robot(share_path("config/panda.yaml"))
    words = [text for texts in TEMPLATES.values() for text in texts]
    tokenizer = Tokenizer.from_texts([*words, *COLORS, *DIRECTIONS, *PLACES], max_len=16)
    names, joints = robot.action_names, len(robot.joints)
    config = preset(
        "tiny",
        cameras=CAMERAS,
        state_features=len(names) + POSE_FEATURES,
        action_dim=len(names),
        vocab_size=len(tokenizer.vocabulary),
        horizon=_HORIZON,
    )
    size = {"height_px": config.image_px, "width_px": config.image_px, "resize": "letterbox"}
    features = config.state_features
    checkpoint = Checkpoint(
        model=config,
        spec=PolicySpec(
            robot=robot.robot,
            cameras=tuple(CameraSpec(name=name, **size) for name in CAMERAS),
            state_names=names,
            action_names=names,
            horizon=_HORIZON,
            step_s=0.1,
        ),
        normalizer=Normalizer(
            feature_mean=np.zeros(features),
            feature_std=np.ones(features),
            delta_mean=np.arange(1, _HORIZON + 1)[:, None] * _DRIFT_RAD,
            delta_std=np.full((_HORIZON, joints), 0.01),
        ),
        tokenizer=tokenizer,
        chain=robot.chain,
    )
    torch.manual_seed(0)
    weights = {name: value.numpy() for name, value in VLAModel(config).state_dict().items()}
    write_checkpoint(folder, checkpoint, weights)
    return folder
