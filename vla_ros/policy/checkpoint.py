"""A policy on the disk: `model.safetensors` and `config.json` in one folder. No torch here.

`config.json` names the digest of the weights, so that a half-copied or mixed-up folder is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from vla_ros.durable import replace_file
from vla_ros.errors import CheckpointError, ParameterError
from vla_ros.image import RESIZE_MODES
from vla_ros.kinematics import KinematicChain
from vla_ros.model.config import ModelConfig
from vla_ros.model.sentence_tokenizer import SentenceTokenizer
from vla_ros.model.tokenizer import SPECIAL, Tokenizer
from vla_ros.policy.features import POSE_FEATURES
from vla_ros.policy.normalizer import Normalizer
from vla_ros.policy_protocol import CameraSpec, PolicySpec

FORMAT_VERSION = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
_KEYS = ("model", "policy", "normalization", "vocabulary", "kinematic_chain", "weights_sha256")
# Parts of the specification that other parts of the file tell.
_DERIVED = ("chain", "prefix_steps")
# What reading numbers and names out of any JSON can raise.
_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, ParameterError)

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """All of a policy but its weights.

    Attributes:
        training: How it came about: data, samples, seed, time.
        weights_sha256: Digest of the weights it was read for; empty before they are written.
    """

    model: ModelConfig
    spec: PolicySpec
    normalizer: Normalizer
    tokenizer: Tokenizer
    chain: KinematicChain
    training: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""


def read_spec(folder: Path | str) -> PolicySpec:
    """Return what the policy in `folder` needs and gives, without its weights.

    Raises:
        CheckpointError: The configuration is missing, broken or of another format.
    """
    return read_checkpoint(folder).spec


def read_checkpoint(folder: Path | str) -> Checkpoint:
    """Return all of the policy in `folder` but its weights.

    Raises:
        CheckpointError: The configuration is missing, broken or of another format.
    """
    path = Path(folder) / CONFIG
    data = _read_json(path)
    try:
        checkpoint = _decode(data)
        problems = _mismatches(checkpoint)
    except _UNUSABLE as error:
        raise CheckpointError(
            f"{path} is not as `train` writes it: {type(error).__name__}: {error}"
        ) from error
    if problems:
        raise CheckpointError(f"{path} contradicts itself: {'; '.join(problems)}")
    return checkpoint


def read_weights(folder: Path | str) -> Weights:
    """Return the weights in `folder` by name.

    Raises:
        CheckpointError: They are missing, corrupt, or not those `config.json` belongs to.
    """
    path = Path(folder) / WEIGHTS
    wanted = _read_json(path.parent / CONFIG)["weights_sha256"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise CheckpointError(
            f"{path} is corrupt or of another checkpoint: its SHA-256 is {found[:12]}…, "
            f"{CONFIG} expects {str(wanted)[:12]}…; copy both files again"
        )
    try:
        weights: Weights = load_safetensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is corrupt: {error}") from error
    return weights


def write_checkpoint(folder: Path | str, checkpoint: Checkpoint, weights: Weights) -> None:
    """Write a checkpoint; an older one in `folder` is replaced, each file at once.

    When the process dies between the two files, the digest tells that they do not belong together.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = save_safetensors(
        {name: np.ascontiguousarray(value) for name, value in weights.items()}
    )
    text = json.dumps(_encode(checkpoint, hashlib.sha256(content).hexdigest()), indent=1)
    replace_file(folder / WEIGHTS, content)
    replace_file(folder / CONFIG, text.encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}; a checkpoint is a folder with "
            f"{CONFIG} and {WEIGHTS}, as `python -m vla_ros train --out DIR` writes it"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is corrupt: {error}") from error
    version = data.get("format_version") if isinstance(data, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this vla_ros reads {FORMAT_VERSION}: "
            "train again, or install the version that wrote it"
        )
    if not data.get("normalization"):
        raise CheckpointError(
            f"{path} has no normalisation statistics: without them the actions have no unit"
        )
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise CheckpointError(f"{path} lacks: {', '.join(missing)}")
    return dict(data)


def _encode(checkpoint: Checkpoint, weights_sha256: str) -> dict[str, Any]:
    model = checkpoint.model
    return {
        "format_version": FORMAT_VERSION,
        "policy": {k: v for k, v in asdict(checkpoint.spec).items() if k not in _DERIVED},
        "model": asdict(model),
        "training": dict(checkpoint.training),
        "weights_sha256": weights_sha256,
        "normalization": _lists(checkpoint.normalizer),
        "kinematic_chain": _lists(checkpoint.chain),
        "vocabulary": [] if _is_pretrained(model) else list(checkpoint.tokenizer.vocabulary),
    }


def _is_pretrained(model: ModelConfig) -> bool:
    """Whether the words are those of the pretrained sentence encoder."""
    return model.text_encoder == "sentence"


def _lists(values: Any) -> dict[str, Any]:
    """The arrays of a dataclass as JSON."""
    return {name: array.tolist() for name, array in vars(values).items()}


def _arrays(data: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    return {name: np.asarray(value, np.float64) for name, value in data.items()}


def _decode(data: dict[str, Any]) -> Checkpoint:
    model, policy = data["model"], data["policy"]
    # A checkpoint of before an option was there has none of it.
    lists = {name: tuple(model.get(name, ())) for name in ("task_embedding", "object_words")}
    config = ModelConfig(**{**model, **lists, "cameras": tuple(model["cameras"])})
    chain = KinematicChain(**_arrays(data["kinematic_chain"]))
    spec = PolicySpec(
        robot=policy["robot"],
        cameras=tuple(CameraSpec(**camera) for camera in policy["cameras"]),
        state_names=tuple(policy["state_names"]),
        action_names=tuple(policy["action_names"]),
        horizon=int(policy["horizon"]),
        step_s=float(policy["step_s"]),
        chain=chain,
        action_meaning=policy.get("action_meaning", PolicySpec.action_meaning),
        prefix_steps=config.prefix_steps,
    )
    return Checkpoint(
        model=config,
        spec=spec,
        normalizer=Normalizer(**_arrays(data["normalization"])),
        tokenizer=SentenceTokenizer(config.max_len)
        if _is_pretrained(config)
        else Tokenizer(tuple(data["vocabulary"]), config.max_len),
        chain=chain,
        training=dict(data.get("training", {})),
        weights_sha256=str(data["weights_sha256"]),
    )


def _mismatches(checkpoint: Checkpoint) -> list[str]:
    """Parts of a checkpoint that do not go together."""
    model, spec, normalizer = checkpoint.model, checkpoint.spec, checkpoint.normalizer
    chain, features = checkpoint.chain, len(spec.state_names) + POSE_FEATURES
    joints = len(chain.axes)
    pictures = tuple(camera.name for camera in spec.cameras)
    pairs = {
        "model.cameras": (model.cameras, pictures),
        "model.action_dim": (model.action_dim, len(spec.action_names)),
        "model.horizon": (model.horizon, spec.horizon),
        "model.state_features": (model.state_features, features),
        "shape of axes": (chain.axes.shape, (joints, 3)),
        "shape of origins": (chain.origins.shape, (joints, 4, 4)),
        "shape of tip": (chain.tip.shape, (4, 4)),
        "shape of feature_mean": (normalizer.feature_mean.shape, (features,)),
        "shape of feature_std": (normalizer.feature_std.shape, (features,)),
        "shape of delta_mean": (normalizer.delta_mean.shape, (spec.horizon, joints)),
        "shape of delta_std": (normalizer.delta_std.shape, (spec.horizon, joints)),
    }
    if not _is_pretrained(model):
        words = checkpoint.tokenizer.vocabulary
        pairs["model.vocab_size"] = (model.vocab_size, len(words))
        pairs["first words of the vocabulary"] = (words[:3], SPECIAL)
    problems = [f"{k} is {got}, expected {want}" for k, (got, want) in pairs.items() if got != want]
    for camera in spec.cameras:
        if (camera.height_px, camera.width_px) != (model.image_px, model.image_px):
            problems.append(f"camera {camera.name!r} is not {model.image_px} px high and wide")
        if camera.resize not in RESIZE_MODES:
            problems.append(f"camera {camera.name!r}: resize {camera.resize!r} is unknown")
    if not (math.isfinite(spec.step_s) and spec.step_s > 0):
        problems.append(f"policy.step_s is {spec.step_s}, expected a time above 0 s")
    if not all(np.isfinite(values).all() for values in (chain.axes, chain.origins, chain.tip)):
        problems.append("a number of the kinematic chain is not finite")
    statistics = (normalizer.feature_mean, normalizer.delta_mean)
    deviations = (normalizer.feature_std, normalizer.delta_std)
    if not all(np.isfinite(values).all() for values in (*statistics, *deviations)):
        problems.append("a normalisation statistic is not finite")
    if not all((values > 0).all() for values in deviations):
        problems.append("a standard deviation is not above 0")
    return problems
