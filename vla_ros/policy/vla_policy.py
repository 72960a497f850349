"""A trained `VLAModel` behind the face of a `Policy`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from vla_ros.datatypes import ActionChunk, ActionPrefix, FloatArray, Frame, Observation, RobotState
from vla_ros.errors import CheckpointError, ImageError, ParameterError, StateError
from vla_ros.image import resize
from vla_ros.model.config import ModelConfig
from vla_ros.model.prefix import Prefix
from vla_ros.model.tokenizer import CLS, UNK
from vla_ros.model.vision import to_input
from vla_ros.model.vla import VLAModel
from vla_ros.policy.checkpoint import Checkpoint, Weights, read_checkpoint, read_weights
from vla_ros.policy.fast_path import CheckedFuse, choose_fuse
from vla_ros.policy.features import state_features
from vla_ros.policy.threads import set_threads
from vla_ros.policy_protocol import DEVICES
from vla_ros.robot_config import GRIPPER

_REMEMBERED_TEXTS = 64


class VLAPolicy:
    """Plans chunks of absolute joint targets from pictures, robot state and an instruction.

    Deterministic: the same observation, and prefix if there is one, gives the same chunk.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        model: VLAModel,
        device: torch.device,
        precision: str = "exact",
    ) -> None:
        self.spec = checkpoint.spec
        self.checkpoint = checkpoint
        self._model = model.to(device).eval().requires_grad_(False)
        self._fuse = choose_fuse(self._model, device, precision)
        self._device = device
        self._texts: dict[str, tuple[Tensor, Tensor]] = {}
        self._warm_up()

    @staticmethod
    def load(
        checkpoint_dir: Path | str,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "exact",
    ) -> VLAPolicy:
        """Read a checkpoint and compute once, so that the first chunk is as quick as the others.

        Args:
            checkpoint_dir: Folder with `config.json` and `model.safetensors`.
            device: `auto` takes CUDA where there is one, else `cpu` or `cuda`.
            threads: CPU threads of torch in this process; 0 leaves a core to control, `None`
                leaves them as they are.
            precision: `exact`; `bf16` on CUDA; `int8` on a CPU, which needs onnx and onnxruntime.

        Raises:
            CheckpointError: It is missing, corrupt or contradicts itself.
            ParameterError: The device or the precision is unknown or not there.
        """
        chosen = choose_device(device)
        if threads is not None:
            set_threads(threads)
        checkpoint = read_checkpoint(checkpoint_dir)
        weights = read_weights(checkpoint_dir)
        _check_shapes(checkpoint.model, weights, Path(checkpoint_dir))
        model = VLAModel(checkpoint.model)
        model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
        return VLAPolicy(checkpoint, model, chosen, precision)

    def reset(self) -> None:
        """Nothing to forget: a chunk depends on one observation, and its prefix, only."""

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """Plan from `observation`, and continue `prefix` if the checkpoint can.

        Raises:
            ImageError: A camera is missing from the observation.
            StateError: The robot state does not have the joints or gripper of the checkpoint.
            InstructionError: The instruction has too many words, or none that is known.
        """
        return self.infer_batch([observation], [prefix])[0]

    @torch.inference_mode()
    def infer_batch(
        self,
        observations: Sequence[Observation],
        prefixes: Sequence[ActionPrefix | None] | None = None,
    ) -> list[ActionChunk]:
        """Plan from several observations in one pass: the chunks that `infer` gives for each.

        Args:
            observations: What to plan from.
            prefixes: The plan that each is to continue; `None` for none.

        Raises:
            ImageError, StateError, InstructionError: As `infer`, for any of them.
        """
        begin = time.perf_counter()
        states = np.stack([self._state(observation.state) for observation in observations])
        condition = self._fuse(
            torch.cat([self._images(observation.frames) for observation in observations]),
            *self._encode_texts([observation.instruction for observation in observations]),
            torch.cat([self._features(state) for state in states]),
        )
        # Row by row, for little time: each has a plan of its own to continue.
        asked = zip(condition, prefixes or [None] * len(states), states, strict=True)
        rows = [self._decode(row[None], prefix, state) for row, prefix, state in asked]
        chunks = self.checkpoint.normalizer.denormalize_chunk(torch.cat(rows).cpu().numpy(), states)
        return self.spec.chunks(chunks, observations, time.perf_counter() - begin)

    @torch.inference_mode()
    def attention(self, observation: Observation) -> Mapping[str, FloatArray]:
        """Where the words look in each camera's picture as the model gets it; for people.

        May be called in another thread than `infer`.

        Returns:
            By camera: share of each cell of a grid over the picture, sum 1, shape (rows, columns).

        Raises:
            ImageError, StateError, InstructionError: As `infer`.
        """
        shares = self._model.attention(
            self._images(observation.frames),
            *self._encode_text(observation.instruction),
            self._features(self._state(observation.state)),
        )[0]
        edge = math.isqrt(shares.shape[-1])
        grids = shares.view(len(shares), edge, edge).cpu().numpy().astype(np.float64)
        return {camera.name: grid for camera, grid in zip(self.spec.cameras, grids, strict=True)}

    def _decode(self, condition: Tensor, prefix: ActionPrefix | None, state: FloatArray) -> Tensor:
        """The normalised chunk (1, T, A) for a condition (1, K), planned in `state`."""
        chunk: Tensor = self._model.action_decoder(condition, self._prefix(prefix, state))
        return chunk

    def _prefix(self, prefix: ActionPrefix | None, state: FloatArray) -> Prefix | None:
        """What the decoder takes of `prefix`; `None` when it takes none, or there is none."""
        prefix = None if prefix is None else prefix.first(self.spec.prefix_steps)
        if prefix is None:
            return None
        known = len(prefix.actions)
        actions = np.repeat(prefix.actions[-1:], self.spec.horizon, axis=0)
        actions[:known] = prefix.actions
        chunk = self.checkpoint.normalizer.normalize_chunk(actions, state)
        counts = np.array([[prefix.frozen], [known]])
        return Prefix(self._tensor(chunk[None]), *self._tensor(counts))

    def _state(self, state: RobotState) -> FloatArray:
        gripper = [] if state.gripper_open is None else [state.gripper_open]
        vector = np.concatenate([state.position_rad, gripper])
        has_gripper = GRIPPER in self.spec.state_names
        if len(vector) != len(self.spec.state_names) or bool(gripper) != has_gripper:
            raise StateError(
                f"the robot state has {len(state.position_rad)} joints and "
                f"{'a' if gripper else 'no'} gripper; the checkpoint needs: "
                f"{', '.join(self.spec.state_names)}"
            )
        return vector

    def _features(self, state: FloatArray) -> Tensor:
        features = state_features(self.checkpoint.chain, state)
        return self._tensor(self.checkpoint.normalizer.normalize_features(features)[None])

    def _images(self, frames: Mapping[str, Frame]) -> Tensor:
        missing = [camera.name for camera in self.spec.cameras if camera.name not in frames]
        if missing:
            raise ImageError(
                f"no frame of camera {', '.join(missing)} in the observation; it has: "
                f"{', '.join(frames) or 'none'}"
            )
        pixels = [
            resize(frames[camera.name].pixels, camera.height_px, camera.width_px, camera.resize)
            for camera in self.spec.cameras
        ]
        return to_input(self._tensor(np.stack(pixels)[None]))

    def _encode_text(self, instruction: str) -> tuple[Tensor, Tensor]:
        # Another thread may clear the texts at any time.
        encoded = self._texts.get(instruction)
        if encoded is None:
            tokens = self.checkpoint.tokenizer.encode(instruction)
            if len(self._texts) >= _REMEMBERED_TEXTS:
                self._texts.clear()
            encoded = self._texts[instruction] = self._model.encode_text(self._tensor(tokens[None]))
        return encoded

    def _encode_texts(self, instructions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Features (B, L, D) and mask (B, L) of several instructions, the shorter ones padded."""
        texts = [self._encode_text(instruction) for instruction in instructions]
        longest = max(mask.shape[1] for _, mask in texts)
        gaps = [longest - mask.shape[1] for _, mask in texts]
        features = [pad(x, (0, 0, 0, gap)) for (x, _), gap in zip(texts, gaps, strict=True)]
        masks = [pad(mask, (0, gap)) for (_, mask), gap in zip(texts, gaps, strict=True)]
        return torch.cat(features), torch.cat(masks)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    @torch.inference_mode()
    def _warm_up(self) -> None:
        config = self.checkpoint.model
        pixels = np.zeros((1, len(config.cameras), config.image_px, config.image_px, 3), np.uint8)
        text = self._model.encode_text(self._tensor(np.array([[CLS, UNK]])))
        state = np.zeros((1, config.state_features), np.float32)
        inputs = (to_input(self._tensor(pixels)), *text, self._tensor(state))
        # Not the checked way itself: what counts as its first observation is a real one.
        warm_up = self._fuse.warm_up if isinstance(self._fuse, CheckedFuse) else self._fuse
        warm_up(*inputs)
        self._decode(self._model.fuse(*inputs).condition, *self._pretended_prefix())

    def _pretended_prefix(self) -> tuple[ActionPrefix, FloatArray]:
        """One of zeros, and a state: gradients, where the decoder takes them, need a start too."""
        actions = np.zeros((self.spec.horizon, len(self.spec.action_names)))
        return ActionPrefix(actions=actions, frozen=1), np.zeros(len(self.spec.state_names))


def choose_device(name: str) -> torch.device:
    """The torch device for `auto`, `cpu` or `cuda`.

    Raises:
        ParameterError: It is unknown or not there.
    """
    if name not in DEVICES:
        problem = f"device {name!r} is unknown; valid: {', '.join(DEVICES)}"
        raise ParameterError("policy", [problem])
    if name == "cuda" and not torch.cuda.is_available():
        raise ParameterError("policy", ["device 'cuda' is not there; use 'auto' or 'cpu'"])
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _check_shapes(config: ModelConfig, weights: Weights, folder: Path) -> None:
    with torch.device("meta"):  # no memory yet: the sizes may be wrong, and huge
        wanted = {name: tuple(t.shape) for name, t in VLAModel(config).state_dict().items()}
    found = {name: value.shape for name, value in weights.items()}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, expected {wanted.get(name, 'nothing')}"
        for name in sorted(wanted.keys() | found.keys())
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise CheckpointError(
            f"the weights in {folder} are not those of the model in its config.json: "
            f"{len(wrong)} of {len(wanted)} differ; {'; '.join(wrong[:5])}"
        )
