"""What test_team.py lets torchrun start: a step on half of a batch, then a short training."""

from __future__ import annotations

import math
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# For the helper beside the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))
from toy_data import toy_dataset

from vla_ros.learn import learner
from vla_ros.learn.batches import Batch
from vla_ros.learn.team import ALONE, Team, assembled
from vla_ros.learn.train import Limits, train
from vla_ros.learn.train_options import TrainOptions
from vla_ros.learn.training import Training
from vla_ros.model.vision import to_input
from vla_ros.robot_config import load_robot
from vla_ros.share import share_path

# The first rows do not know where the object is, others end an episode: halves count differently.
ROWS = np.arange(4, 28)
BATCH = 4
OPTIONS = TrainOptions(
    data=Path("toy"),
    robot_file=share_path("config/panda.yaml"),
    preset="tiny",
    samples=64,
    batch=BATCH,
    device="cpu",
)


def begin(out: Path, team: Team = ALONE, **changes: object) -> Training:
    robot = load_robot(OPTIONS.robot_file)
    return Training(replace(OPTIONS, **changes), out, toy_dataset(robot), robot, team=team)


def gradients(out: Path, part: slice, team: Team = ALONE) -> dict[str, Tensor]:
    """Gradients of the first step, on a part of `ROWS`, not clipped."""
    clipped, learner._MAX_GRADIENT = learner._MAX_GRADIENT, math.inf
    training = begin(out, team)
    whole = training._rows.batch(ROWS, training._checkpoint.normalizer)
    batch = Batch(**{field.name: getattr(whole, field.name)[part] for field in fields(whole)})
    images = to_input(torch.from_numpy(batch.pixels))
    try:
        training.learner.learn(images, batch, 1.0, torch.Generator().manual_seed(0))
    finally:
        learner._MAX_GRADIENT = clipped
    named = training.learner.networks.named_parameters()
    return {name: p.grad for name, p in named if p.grad is not None}


def main(out: Path) -> None:
    torch.set_num_threads(1)
    with assembled("cpu") as team:
        half = len(ROWS) // team.size
        found = gradients(out, slice(team.rank * half, (team.rank + 1) * half), team)
        training = begin(out, team)
        drawn = training._draw(0)[2]
        train(training, Limits(minutes=1000.0, save_every_minutes=60), team)
        weights = {name: torch.from_numpy(v) for name, v in training.learner.weights().items()}
        result = {"gradients": found, "weights": weights, "drawn": torch.from_numpy(drawn)}
        torch.save(result, out / f"result-{team.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
