"""A tiny checkpoint of the Panda, with weights that matter, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vla_ros.datatypes import Frame, Observation, RobotState
from vla_ros.model.config import preset
from vla_ros.model.tokenizer import Tokenizer
from vla_ros.model.vla import VLAModel
from vla_ros.policy.checkpoint import Checkpoint, write_checkpoint
from vla_ros.policy.features import POSE_FEATURES
from vla_ros.policy.normalizer import Normalizer
from vla_ros.policy_protocol import CameraSpec, PolicySpec
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.share import share_path

CAMERAS = ("front", "wrist")


@pytest.fixture(scope="session")
def robot() -> RobotConfig:
    return load_robot(share_path("config/panda.yaml"))


@pytest.fixture
def checkpoint(robot: RobotConfig) -> Checkpoint:
    tokenizer = Tokenizer.from_texts(["push the red block", "open the drawer"], max_len=16)
    names, rng = robot.action_names, np.random.default_rng(0)
    model = preset(
        "tiny",
        cameras=CAMERAS,
        state_features=len(names) + POSE_FEATURES,
        action_dim=len(names),
        vocab_size=len(tokenizer.vocabulary),
    )
    size = {"height_px": model.image_px, "width_px": model.image_px, "resize": "letterbox"}
    return Checkpoint(
        model=model,
        spec=PolicySpec(
            robot=robot.robot,
            cameras=tuple(CameraSpec(name=name, **size) for name in CAMERAS),
            state_names=names,
            action_names=names,
            horizon=model.horizon,
            step_s=0.1,
        ),
        normalizer=Normalizer(
            feature_mean=rng.normal(size=17),
            feature_std=rng.uniform(0.5, 1, 17),
            delta_mean=rng.normal(size=(model.horizon, 7)) * 0.01,
            delta_std=rng.uniform(0.01, 0.1, (model.horizon, 7)),
        ),
        tokenizer=tokenizer,
        chain=robot.chain,
        training={"seed": 3},
    )


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = VLAModel(checkpoint.model).requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(std=0.2)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    write_checkpoint(tmp_path / "checkpoint", checkpoint, weights)
    return tmp_path / "checkpoint"


@pytest.fixture
def observation() -> Observation:
    rng = np.random.default_rng(5)
    frames = {
        name: Frame(pixels=rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), stamp_s=9.9)
        for name in CAMERAS
    }
    position = np.array([0.0, -0.5, 0.0, -2.0, 0.0, 1.6, 0.8])
    state = RobotState(
        position_rad=position, velocity_rad_s=np.zeros(7), gripper_open=0.4, stamp_s=10.0
    )
    return Observation(
        frames=frames, state=state, instruction="push the red block", epoch=4, stamp_s=10.0
    )
