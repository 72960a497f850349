"""What a training depends on. No torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_ros.errors import ParameterError


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a training depends on; a resumed one must have the same.

    Attributes:
        data: Folder of the dataset.
        robot_file: Robot file of the arm.
        preset: Size of the model.
        head: Action decoder, as in `ModelConfig.action_head`.
        samples: Samples to train on.
        batch: Samples in one optimiser step.
        lr: Peak learning rate.
        horizon: Steps in a chunk; `None` is the preset's.
        target_weight: Weight of the named object's position in the loss.
        pointing_weight: Weight of its place in the pictures.
        init: Folder of a checkpoint to begin with, its words and statistics included; `None`
            begins with random weights.
        seed: Of the first weights, the batches and the augmentation.
        device: `auto`, `cpu` or `cuda`.
    """

    data: Path
    robot_file: Path
    preset: str = "small"
    head: str = "mlp"
    samples: int = 400_000
    batch: int = 64
    lr: float = 5e-4
    horizon: int | None = None
    target_weight: float = 0.3
    pointing_weight: float = 0.1
    init: Path | None = None
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {value}, it must be above 0"
            for name, value in (("samples", self.samples), ("batch", self.batch), ("lr", self.lr))
            if not value > 0
        ]
        problems += [
            f"{name} is {value}, it must be 0 or more"
            for name, value in (
                ("target_weight", self.target_weight),
                ("pointing_weight", self.pointing_weight),
            )
            if not value >= 0
        ]
        if problems:
            raise ParameterError("train", problems)

    def fingerprint(self) -> dict[str, Any]:
        """All that changes the weights, as plain values."""
        values = asdict(self)
        del values["device"]
        return {
            **values,
            "data": self.data.name,
            "robot_file": self.robot_file.name,
            "init": self.init.name if self.init else None,
        }
