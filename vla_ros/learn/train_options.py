"""What a training depends on, from the command line and from a file. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from vla_ros.errors import ParameterError
from vla_ros.model.config import HEADS, PRESETS, TEXT_ENCODERS
from vla_ros.policy_protocol import DEVICES
from vla_ros.share import share_path

_PATHS = ("data", "robot_file", "init", "wordings")
_NUMBERS = ("lr", "target_weight", "pointing_weight", "contrastive_weight")
TRAIN_PRECISIONS = ("fp32", "bf16")
# Distortions of pictures by camera, and the most that each may be.
DISTORTIONS = {"crop": 0.3, "shift": 0.1, "rotate_deg": 15.0, "blur_px": 3.0}
_WORDS = {"object_words": "[red, green]", "tasks": "[pick_object]"}
_REFUSED = {
    "flip": "a flipped picture without mirrored state, actions and words teaches the wrong side; "
    "mirror does all of it",
}


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a training depends on; a resumed one must have the same.

    Attributes:
        data: Folder of the dataset.
        robot_file: Robot file of the arm.
        preset: Size of the model.
        head: Action decoder, as in `ModelConfig.action_head`.
        text_encoder: As in `ModelConfig.text_encoder`.
        samples: Samples to train on.
        batch: Samples in one optimiser step.
        lr: Peak learning rate.
        horizon: Steps in a chunk; `None` is the preset's.
        target_weight: Weight of the named object's position in the loss.
        pointing_weight: Weight of its place in the pictures.
        contrastive_weight: Weight of pictures and words finding each other.
        glimpse_px: As in `ModelConfig.glimpse_px`.
        object_words: Words that only tell which object is meant, such as colours: the pointers
            hear them, the rest of the model does not. `None` for none.
        wordings: YAML file of task → list of texts, in which `{color}`, `{direction}` and `{place}`
            stand for what an episode asks: one is drawn in place of the recorded words each time.
        tasks: Kinds of task to train on; `None` for all that the dataset has.
        task_embedding: Tell the model the kind of task, for every second sample.
        rtc_delay_steps: Most first steps of a chunk that are given and do not count in the loss, as
            if they were played while the policy computes; 0 gives none.
        init: Folder of a checkpoint to begin with, its words and statistics included; `None`
            begins with random weights.
        crop: By camera: most of the picture's edge to cut away, a share.
        shift: By camera: how far to move the picture at most, a share of its edge.
        rotate_deg: By camera: how far to turn the picture at most.
        blur_px: By camera: largest standard deviation of a Gaussian blur.
        augment: Change colours, shift pictures and drop words, each time in another way.
        mirror: Show half of the demonstrations in a mirror, where the words allow it.
        seed: Of the first weights, the batches and the augmentation.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32`, or `bf16` for matrix products in bf16, on CUDA.
    """

    data: Path
    robot_file: Path
    preset: str = "small"
    head: str = "mlp"
    text_encoder: str = "words"
    samples: int = 400_000
    batch: int = 64
    lr: float = 5e-4
    horizon: int | None = None
    target_weight: float = 0.3
    pointing_weight: float = 0.1
    contrastive_weight: float = 0.0
    glimpse_px: int = 0
    object_words: Sequence[str] | None = None
    wordings: Path | None = None
    tasks: Sequence[str] | None = None
    task_embedding: bool = False
    rtc_delay_steps: int = 0
    init: Path | None = None
    crop: Mapping[str, float] | None = None
    shift: Mapping[str, float] | None = None
    rotate_deg: Mapping[str, float] | None = None
    blur_px: Mapping[str, float] | None = None
    augment: bool = True
    mirror: bool = False
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {value!r}; valid: {', '.join(valid)}"
            for name, value, valid in (
                ("preset", self.preset, PRESETS),
                ("head", self.head, HEADS),
                ("text_encoder", self.text_encoder, TEXT_ENCODERS),
                ("device", self.device, DEVICES),
                ("precision", self.precision, TRAIN_PRECISIONS),
            )
            if value not in tuple(valid)
        ]
        problems += [
            f"{name} is {value!r}, it must be a whole number from {least}"
            for name, value, least in (
                ("samples", self.samples, 1),
                ("batch", self.batch, 1),
                ("horizon", 1 if self.horizon is None else self.horizon, 1),
                ("seed", self.seed, 0),
                ("rtc_delay_steps", self.rtc_delay_steps, 0),
                ("glimpse_px", self.glimpse_px, 0),
            )
            if not (type(value) is int and value >= least)
        ]
        problems += [
            f"{name} is {value!r}, it must be a number {'above 0' if name == 'lr' else 'from 0'}"
            for name, value in (
                ("lr", self.lr),
                ("target_weight", self.target_weight),
                ("pointing_weight", self.pointing_weight),
                ("contrastive_weight", self.contrastive_weight),
            )
            if not _is_number(value) or value < 0 or (name == "lr" and value == 0)
        ]
        problems += [
            f"{name} is {getattr(self, name)!r}, it must give cameras a number from 0 to {most}, "
            f"such as {name}: {{front: {most / 2}}}"
            for name, most in DISTORTIONS.items()
            if not _are_strengths(getattr(self, name), most)
        ]
        problems += [
            f"{name} is {getattr(self, name)!r}; valid: true, false"
            for name in ("augment", "mirror", "task_embedding")
            if not isinstance(getattr(self, name), bool)
        ]
        problems += [
            f"{name} is {getattr(self, name)!r}, it must be a list of words, such as {example}"
            for name, example in _WORDS.items()
            if not _are_words(getattr(self, name))
        ]
        if problems:
            raise ParameterError("train", problems)

    @staticmethod
    def defaults() -> dict[str, Any]:
        """The options that need not be given, by name."""
        return {f.name: f.default for f in fields(TrainOptions) if f.default is not MISSING}

    def fingerprint(self) -> dict[str, Any]:
        """All that changes the weights, as plain values."""
        values = asdict(self)
        del values["device"]
        return {
            **values,
            "data": self.data.name,
            "robot_file": self.robot_file.name,
            "init": self.init.name if self.init else None,
            "wordings": self.wordings.name if self.wordings else None,
        }

    def differences(self, before: Mapping[str, Any], folder: Path) -> list[str]:
        """What is not as the training in `folder` had it, a sentence each.

        Args:
            before: Its `fingerprint`, as JSON has it; of before an option was there, it had what
                is its default now.
            folder: Its folder, for the sentences.
        """
        had = TrainOptions.defaults() | dict(before)
        now = json.loads(json.dumps(self.fingerprint(), default=str))
        return [
            f"{key} is {value}, the training in {folder} has {had.get(key)}"
            for key, value in now.items()
            if value != had.get(key)
        ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_words(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)


def _are_strengths(value: object, most: float) -> bool:
    if value is None:
        return True
    if not isinstance(value, Mapping):
        return False
    return all(
        isinstance(camera, str) and _is_number(strength) and 0 <= strength <= most
        for camera, strength in value.items()
    )


def read_options(config: Path | None, given: Mapping[str, Any]) -> TrainOptions:
    """The options of a YAML file and of the command line, which comes first.

    Args:
        config: File with options by name, as in `TrainOptions`; `None` for no file.
        given: Options by name; `None` for one that is not given. Other names are left alone.

    Raises:
        ParameterError: The file cannot be read, or an option is unknown, wrong or missing.
    """
    source = f"train --config {config}"
    values = {} if config is None else _read_file(config)
    values = {name: value for name, value in values.items() if value is not None}
    check_names(values, f"train --config {config}")
    names = [field.name for field in fields(TrainOptions)]
    values |= {name: given[name] for name in names if given.get(name) is not None}
    values.setdefault("robot_file", share_path("config/panda.yaml"))
    if "data" not in values:
        raise ParameterError("train", ["--data is missing: the folder that `collect` wrote"])
    paths = {name: values[name] for name in _PATHS if values.get(name) is not None}
    problems = [
        f"{name} is {value!r}, it must be a path; put a number in quotes"
        for name, value in paths.items()
        if not isinstance(value, str | Path)
    ]
    if problems:
        raise ParameterError("train" if config is None else source, problems)
    values |= {name: Path(value) for name, value in paths.items()}
    return TrainOptions(**values)


def check_names(values: Mapping[str, Any], source: str) -> None:
    """Refuse names that are no options.

    Raises:
        ParameterError: There are such names in `source`.
    """
    names = [field.name for field in fields(TrainOptions)]
    unknown = sorted(map(str, set(values) - set(names)))
    refused = [f"{name}: {_REFUSED[name]}" for name in unknown if name in _REFUSED]
    if refused:
        raise ParameterError(source, refused)
    if unknown:
        problem = f"unknown: {', '.join(unknown)}; valid: {', '.join(names)}"
        raise ParameterError(source, [problem])


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ParameterError(f"train --config {path}", [f"it cannot be read: {error}"]) from error
    if not isinstance(values, dict):
        problem = f"it must hold options by name, got {type(values).__name__}"
        raise ParameterError(f"train --config {path}", [problem])
    return with_numbers(values)


def with_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of a YAML file, in which 8e-4 is a text (YAML 1.1)."""
    return {k: _as_number(value) if k in _NUMBERS else value for k, value in values.items()}


def _as_number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
