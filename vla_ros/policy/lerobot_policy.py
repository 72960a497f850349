"""A LeRobot policy behind the face of a `Policy`: ACT, Diffusion, SmolVLA and the others.

`serve --backend lerobot` alone imports this, in a Python that has lerobot. The policy and its
normalisation are loaded and called by LeRobot's own functions; what is added is the robot file's
order and units (`lerobot_units.py`), and that a policy which does not fit is refused
(`lerobot_fit.py`).

A policy that looks at several observations is given the newest one several times, as LeRobot does
after a reset: one server has many clients, and none says which observation came before.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.utils import prepare_observation_for_inference
from torch import Tensor

from vla_ros.datatypes import ActionChunk, ActionPrefix, FloatArray, Frame, Observation, RobotState
from vla_ros.errors import CheckpointError, ImageError, ParameterError, StateError
from vla_ros.image import resize
from vla_ros.policy.lerobot_fit import ACTION, STATE, LeRobotFeatures, check_lerobot
from vla_ros.policy.lerobot_units import LeRobotUnits
from vla_ros.policy.threads import set_threads
from vla_ros.robot_config import RobotConfig

_WEIGHTS = "model.safetensors"
# What would be fetched from elsewhere, only to be overwritten by the checkpoint's weights.
_NOT_NEEDED = {"pretrained_backbone_weights": None, "load_vlm_weights": False}


class LeRobotPolicy:
    """Plans chunks in the robot file's names and units.

    Attributes:
        spec: What it needs and gives.
        weights_sha256: Digest of its weights.
    """

    def __init__(self, folder: Path, robot: RobotConfig, device: str) -> None:
        """Load it; see `load`."""
        config = _read_config(folder, device)
        self._policy, self._before, self._after = _load(folder, config, device)
        features = _features(config, self._before, self._after)
        self.spec = check_lerobot(features, robot, folder)
        self.weights_sha256 = hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()
        assert robot.lerobot is not None  # else it was refused
        self._images = robot.lerobot.images
        self._units = LeRobotUnits(robot, robot.lerobot)
        self._has_state = STATE in features.shapes
        self._looks_back = config.n_obs_steps > 1
        self._device = torch.device(device)
        self._warm_up(robot)

    @staticmethod
    def load(
        folder: Path | str, *, robot: RobotConfig, device: str = "auto", threads: int = 0
    ) -> LeRobotPolicy:
        """Load a policy that LeRobot has saved.

        Args:
            folder: Its `pretrained_model`: configuration, weights and processors.
            robot: The arm; its `lerobot` says what the policy's numbers are.
            device: `auto`, `cpu` or `cuda`.
            threads: CPU threads; 0 leaves a core to control.

        Raises:
            CheckpointError: LeRobot cannot load it, or it does not fit the robot file.
            ParameterError: The device is not there.
        """
        set_threads(threads)
        return LeRobotPolicy(Path(folder), robot, _device(device))

    @torch.inference_mode()
    def infer_batch(
        self,
        observations: Sequence[Observation],
        prefixes: Sequence[ActionPrefix | None] = (),
    ) -> list[ActionChunk]:
        """Plan from several observations in one pass; no prefix is continued.

        Raises:
            ImageError: A camera is missing from an observation.
            StateError: A state does not have the joints or the gripper of the robot file.
        """
        begin = time.perf_counter()
        chunks = self._units.actions(self._plan(self._batch(observations)).numpy())
        return self.spec.chunks(chunks, observations, time.perf_counter() - begin)

    def _warm_up(self, robot: RobotConfig) -> None:
        """Compute once, so that the first chunk is as quick as the others, and of its size."""
        sizes = {
            camera.name: (camera.height_px, camera.width_px, 3) for camera in self.spec.cameras
        }
        middle_rad = (robot.limits.lower_rad + robot.limits.upper_rad) / 2
        state = RobotState(
            position_rad=middle_rad,
            velocity_rad_s=np.zeros_like(middle_rad),
            gripper_open=None if robot.gripper is None else 0.5,
            stamp_s=0.0,
        )
        frames = {n: Frame(pixels=np.zeros(s, np.uint8), stamp_s=0.0) for n, s in sizes.items()}
        (chunk,) = self.infer_batch(
            [Observation(frames=frames, state=state, instruction="wait", epoch=0, stamp_s=0.0)]
        )
        wanted = (self.spec.horizon, len(self.spec.action_names))
        if chunk.actions.shape != wanted:
            raise CheckpointError(
                f"the policy plans actions of shape {chunk.actions.shape}, its configuration says "
                f"{wanted}; only policies that plan chunks can be served"
            )

    def _plan(self, batch: dict[str, Any]) -> Tensor:
        """Actions (B, T, A) in the policy's own units."""
        prepared = self._before(batch)
        self._policy.reset()
        if self._looks_back:
            # Not `predict_action_chunk`, which looks at what `select_action` has remembered.
            steps = [self._policy.select_action(dict(prepared)) for _ in range(self.spec.horizon)]
            chunk = torch.stack(steps, dim=1)
        else:
            chunk = self._policy.predict_action_chunk(prepared)
        rows: Tensor = self._after(chunk.flatten(0, 1))  # (B * T, A)
        return rows.float().cpu().view(chunk.shape)

    def _batch(self, observations: Sequence[Observation]) -> dict[str, Any]:
        """A batch as LeRobot's own loop makes it of the pictures and numbers of a robot."""
        rows = [
            prepare_observation_for_inference(
                self._numbers(observation), self._device, observation.instruction
            )
            for observation in observations
        ]
        return {
            key: torch.cat([row[key] for row in rows])
            if isinstance(value, Tensor)
            else [row[key] for row in rows]
            for key, value in rows[0].items()
        }

    def _numbers(self, observation: Observation) -> dict[str, Any]:
        frames = observation.frames
        missing = [name for name in self._images if name not in frames]
        if missing:
            raise ImageError(f"no frame of camera {', '.join(missing)} in the observation")
        numbers: dict[str, Any] = {
            self._images[camera.name]: resize(
                frames[camera.name].pixels, camera.height_px, camera.width_px, camera.resize
            ).copy()  # one that came over the network is read-only, which torch warns of
            for camera in self.spec.cameras
        }
        if self._has_state:
            numbers[STATE] = self._state(observation).astype(np.float32)
        return numbers

    def _state(self, observation: Observation) -> FloatArray:
        state = observation.state
        has = len(state.position_rad) + (state.gripper_open is not None)
        if has != len(self.spec.state_names):
            raise StateError(
                f"the robot state has {has} entries; the robot file has: "
                f"{', '.join(self.spec.state_names)}"
            )
        return self._units.state(state.position_rad, state.gripper_open)


def _device(name: str) -> str:
    if name == "cuda" and not torch.cuda.is_available():
        raise ParameterError("serve", ["--device: 'cuda' is not there; use 'auto' or 'cpu'"])
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _read_config(folder: Path, device: str) -> PreTrainedConfig:
    missing = [name for name in ("config.json", _WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder} has no {' and no '.join(missing)}; a LeRobot policy is the folder "
            "pretrained_model of a checkpoint that lerobot-train writes"
        )
    try:
        config = PreTrainedConfig.from_pretrained(folder, cli_overrides=[f"--device={device}"])
    except (Exception, SystemExit) as error:  # the edge of LeRobot: its parser may even exit
        raise _refused(folder, error) from error
    for name, value in _NOT_NEEDED.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def _load(folder: Path, config: PreTrainedConfig, device: str) -> tuple[Any, Any, Any]:
    """The policy and its pre- and post-processor."""
    try:
        # Strict: LeRobot passes over weights that are missing, and computes with random ones.
        policy = get_policy_class(config.type).from_pretrained(folder, config=config, strict=True)
        before, after = make_pre_post_processors(
            config,
            pretrained_path=str(folder),
            preprocessor_overrides={"device_processor": {"device": device}},
        )
    except Exception as error:  # the edge of LeRobot, and of every library that a policy needs
        raise _refused(folder, error) from error
    return policy.eval().requires_grad_(False), before, after


def _refused(folder: Path, error: BaseException) -> CheckpointError:
    return CheckpointError(f"LeRobot cannot load {folder}: {type(error).__name__}: {error}")


def _features(config: PreTrainedConfig, before: Any, after: Any) -> LeRobotFeatures:
    """What `lerobot_fit.py` looks at."""
    inputs = {key: tuple(feature.shape) for key, feature in config.input_features.items()}
    outputs = {key: tuple(feature.shape) for key, feature in config.output_features.items()}
    images = {key: inputs.pop(key) for key in config.image_features}
    modes: dict[str, str] = {}
    statistics: dict[str, dict[str, FloatArray]] = {}
    for steps, keys in ((before.steps, (*inputs, *images)), (after.steps, (ACTION,))):
        # The steps that normalise have these; they are of several classes.
        for step in (s for s in steps if hasattr(s, "norm_map") and hasattr(s, "stats")):
            for key in keys:
                mode = step.norm_map.get(step.features[key].type) if key in step.features else None
                if mode is not None:
                    modes[key] = mode.value
                    statistics[key] = _arrays((step.stats or {}).get(key, {}))
    back = config.n_obs_steps > 1
    horizon = config.n_action_steps if back else len(config.action_delta_indices)
    return LeRobotFeatures(
        images=images,
        shapes={**inputs, **({ACTION: outputs[ACTION]} if ACTION in outputs else {})},
        modes=modes,
        statistics=statistics,
        horizon=horizon,
    )


def _arrays(statistics: dict[str, Any]) -> dict[str, FloatArray]:
    return {name: np.asarray(value, np.float64) for name, value in statistics.items()}
