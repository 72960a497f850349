"""One training run: a dataset, a learner, and the folder that both end up in."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import vla_ros
from vla_ros.errors import ParameterError, TrainingError
from vla_ros.learn.augment import jitter_colors
from vla_ros.learn.batches import (
    Batch,
    IntArray,
    Rows,
    balanced,
    of_tasks,
    split_episodes,
    with_words_of,
)
from vla_ros.learn.blueprint import (
    build_tokenizer,
    check_init,
    check_robot,
    model_config,
    policy_spec,
)
from vla_ros.learn.curves import plot_metrics
from vla_ros.learn.dataset import Dataset
from vla_ros.learn.learner import lr_scale, new_learner, read_state
from vla_ros.learn.metrics_log import METRICS_FILE, MetricsLog
from vla_ros.learn.mirror import Mirror, check_mirror, with_mirrored
from vla_ros.learn.objectives import Errors
from vla_ros.learn.pace import Pace
from vla_ros.learn.task_errors import TaskErrors
from vla_ros.learn.team import ALONE, Team
from vla_ros.learn.train_options import TrainOptions
from vla_ros.learn.validation import cm, validate
from vla_ros.learn.warp import build_warp
from vla_ros.learn.wordings import read_templates, texts_of
from vla_ros.model.vision import to_input
from vla_ros.policy.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from vla_ros.robot_config import RobotConfig, load_robot

STATE_FILE, CURVE_FILE = "training_state.pt", "loss.png"
_HELD_OUT = 0.02
_WARM_UP_STEPS = 200
_LOG_EVERY, _VALIDATE_EVERY = 50, 400

_log = logging.getLogger(__name__)


class Training:
    """Steps, validation and saving."""

    def __init__(
        self,
        options: TrainOptions,
        out: Path,
        dataset: Dataset,
        robot: RobotConfig,
        *,
        tensorboard: bool = False,
        team: Team = ALONE,
    ) -> None:
        self._team = team
        self._metrics = MetricsLog(out, tensorboard=tensorboard)
        check_robot(dataset, robot)
        self.options, self._out, self._dataset = options, out, dataset
        self._episodes = of_tasks(dataset.episodes, options.tasks)
        self._train, self._validation = split_episodes(self._episodes, _HELD_OUT)
        templates = read_templates(options.wordings)
        dataset = with_words_of(dataset, self._episodes)
        texts = [texts_of(episode, templates) for episode in dataset.episodes]
        said = {text for choices in texts for text in choices}
        said |= {episode.instruction for episode in dataset.episodes}
        begun = read_checkpoint(options.init) if options.init else None
        if options.mirror:
            mirrored = check_mirror(robot, tuple(dataset.frames))
            said |= set(with_mirrored(said))
        tokenizer = build_tokenizer(options, said, begun)
        config = model_config(options, dataset, tokenizer)
        mirror = Mirror(mirrored, tokenizer) if options.mirror else None
        parts = (dataset, config.cameras, robot.chain, tokenizer, config.horizon, mirror, texts)
        self._rows = Rows(*parts, augment=options.augment)
        self._warp = build_warp(options, robot, config.cameras)
        self._checkpoint = Checkpoint(
            model=config,
            spec=policy_spec(dataset, config, robot),
            normalizer=begun.normalizer if begun else self._rows.fit_normalizer(self._train),
            tokenizer=tokenizer,
            chain=robot.chain,
        )
        if begun:
            check_init(begun, self._checkpoint)
        statistics = self._rows.target_statistics(self._train)
        self.learner = new_learner(options, config, statistics, team)
        self._begin_s, self._pace = time.monotonic(), Pace()
        self._by_task = TaskErrors(self._rows.tasks)
        self._latest: dict[str, Any] = {}

    @staticmethod
    def open(
        options: TrainOptions,
        out: Path,
        *,
        resume: bool = False,
        tensorboard: bool = False,
        team: Team = ALONE,
    ) -> Training:
        """Read the dataset and begin, or go on with what `out` holds.

        Args:
            options: What the training depends on.
            out: Folder of the checkpoint.
            resume: Whether to go on.
            tensorboard: Whether to write event files for TensorBoard, too.
            team: Who else trains.

        Raises:
            DatasetError: The dataset is broken or of another robot.
            ParameterError: The training in `out` has other options, or a package is missing.
            CheckpointError: The training state in `out` is missing or corrupt.
        """
        dataset = team.one_first(lambda: Dataset.open(options.data))
        robot = load_robot(options.robot_file)
        training = Training(options, out, dataset, robot, tensorboard=tensorboard, team=team)
        if resume:
            training.resume()
        return training

    def resume(self) -> None:
        """Go on with the training in the folder.

        Raises:
            ParameterError: It has other options.
            CheckpointError: Its state is missing or corrupt.
        """
        state = read_state(self._out / STATE_FILE)
        problems = self.options.differences(json.loads(state["extra"]["options"]), self._out)
        processes = state["extra"].get("processes", 1)
        if processes != self._team.size:
            problems.append(f"it ran in {processes} process(es), now there are {self._team.size}")
        # A state of before this was kept says nothing about its data.
        had = state["extra"].get("data", self._amount)
        if had != self._amount:
            problems.append(
                f"{self.options.data} has {self._amount}, the training in {self._out} had {had}: "
                "words and statistics would be others; begin with --init in a new --out"
            )
        if problems:
            raise ParameterError("train --resume", problems)
        self.learner.restore(state)
        self._begin_s = time.monotonic() - state["extra"]["elapsed_s"]
        self._pace = Pace(self.samples)

    @property
    def _amount(self) -> str:
        return f"{len(self._dataset.episodes)} episodes with {len(self._dataset)} rows"

    @property
    def samples(self) -> int:
        """Samples seen, by all processes together."""
        return self.learner.step * self.samples_per_step

    @property
    def samples_per_step(self) -> int:
        """Samples in a step of all processes together."""
        return self.options.batch * self._team.size

    @property
    def elapsed_s(self) -> float:
        """Time this training has taken, earlier runs included."""
        return time.monotonic() - self._begin_s

    def progress(self, minutes: float | None = None) -> float:
        """Part of the training that is over; `minutes` is its limit, if any.

        All processes must ask at once: they have to agree on the time.
        """
        by_samples = self.samples / self.options.samples
        if minutes is None:
            return by_samples
        return max(by_samples, self._team.largest(self.elapsed_s / 60 / minutes))

    def step(self, minutes: float | None = None) -> Errors:
        """Take the next optimiser step; log and validate when it is time."""
        number = self.learner.step
        scale = lr_scale(self.progress(minutes), number, _WARM_UP_STEPS)
        with self._pace.waiting():
            rng, generator, picked = self._draw(number)
            batch = self._rows.batch(picked, self._checkpoint.normalizer, rng)
            images, batch = self._distort(batch, generator)
        errors = self.learner.learn(images, batch, scale, generator)
        self._by_task.add(batch, errors)
        is_last = self.progress(minutes) >= 1
        if self._team.leads and (self.learner.step % _LOG_EVERY == 0 or is_last):
            self._record(errors, scale, validate=self.learner.step % _VALIDATE_EVERY == 0)
        return errors

    def _draw(self, number: int) -> tuple[np.random.Generator, torch.Generator, IntArray]:
        """Sources of randomness for a step, and this process's rows of it."""
        size, rank, seed = self.options.batch, self._team.rank, self.options.seed
        rng = np.random.default_rng([seed, 1, number])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)) + rank)
        group = self._rows.group[self._train]
        picked = balanced(self._train, group, self.samples_per_step, rng)
        if rank:  # the others draw as one process would; each changes its pictures its own way
            rng = np.random.default_rng([seed, 1, number, rank])
        return rng, generator, picked[rank * size : (rank + 1) * size]

    def _distort(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Pictures as a network takes them, changed in geometry and colour, and the batch then."""
        pixels = torch.from_numpy(batch.pixels)
        if self._warp is not None:
            pixels, target_uv = self._warp(pixels, torch.from_numpy(batch.target_uv), generator)
            batch = replace(batch, target_uv=target_uv.numpy())
        change = partial(jitter_colors, generator=generator) if self.options.augment else to_input
        return change(pixels), batch

    def validate(self) -> dict[str, Any]:
        """Errors of the averaged weights on held-out episodes, all tasks alike."""
        rng = np.random.default_rng([self.options.seed, 2])
        normalizer = self._checkpoint.normalizer
        return validate(self.learner, self._rows, self._validation, normalizer, rng)

    def save(self, *, finished: bool) -> None:
        """Write the checkpoint with the averaged weights, the training state and the curve.

        Nothing in a process that does not lead.

        Raises:
            TrainingError: A file cannot be written; what was saved before can be resumed.
        """
        if not self._team.leads:
            return
        try:
            self._save(finished)
        except OSError as error:
            raise TrainingError(
                f"{self._out} cannot be written at {self.samples} samples: {error}; what was saved "
                "before is there: make room, and --resume"
            ) from error

    def _save(self, finished: bool) -> None:
        if finished:
            self._latest.update(self.validate())
            if "samples" in self._latest:  # once more, now with the last validation
                self._metrics.write(self._latest)
            self._metrics.close()
        extra = {
            "options": json.dumps(self.options.fingerprint(), default=str),
            "elapsed_s": self.elapsed_s,
            "processes": self._team.size,
            "data": self._amount,
        }
        # First: a folder with a checkpoint and no state counts as somebody's policy.
        self.learner.save(self._out / STATE_FILE, extra)
        story = replace(self._checkpoint, training=self._story(finished))
        write_checkpoint(self._out, story, self.learner.weights())
        plot_metrics(self._out / METRICS_FILE, self._out / CURVE_FILE)
        _log.info("saved %s at %d samples", self._out, self.samples)

    def summary(self) -> str:
        """One line on what is trained on what."""
        parameters = sum(p.numel() for p in self.learner.networks.model.parameters())
        return (
            f"training {parameters / 1e6:.2f} M parameters ({self.options.preset}) on "
            f"{len(self._episodes)} episodes, {len(self._train)} rows, "
            f"{len(self._validation)} more held out; {len(self._checkpoint.tokenizer.vocabulary)} "
            f"words; from sample {self.samples} to {self.options.samples}"
            + (f"; {self._team.size} processes" if self._team.size > 1 else "")
        )

    def pace(self) -> str:
        """Samples a second and the share of time spent waiting for data, of this run."""
        return self._pace.whole(self.samples)

    def outcome(self) -> str:
        """One line on what came out."""
        return ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in self._latest.items()
        )

    def _record(self, errors: Errors, scale: float, *, validate: bool) -> None:
        self._latest = {
            "samples": self.samples,
            **self._pace.since_last(self.samples),
            "seconds": round(self.elapsed_s, 1),
            "lr": scale * self.options.lr,
            "loss": round(errors.loss, 5),
            "action": round(errors.action, 5),
            "action_by_task": self._by_task.take(),
            "target_cm": cm(errors.target_m),
            **({} if math.isnan(errors.contrastive) else {"contrastive": errors.contrastive}),
            **(self.validate() if validate else {}),
        }
        self._metrics.write(self._latest)
        _log.info("%s", self.outcome())

    def _story(self, finished: bool) -> dict[str, Any]:
        """How the checkpoint came about, for its config.json."""
        return {
            **json.loads(json.dumps(self.options.fingerprint(), default=str)),
            "vla_ros": vla_ros.__version__,
            "finished": finished,
            "episodes": len(self._episodes),
            "rows": len(self._train) + len(self._validation),
            "samples_seen": self.samples,
            "processes": self._team.size,
            "seconds": round(self.elapsed_s, 1),
            "latest": self._latest,
        }
