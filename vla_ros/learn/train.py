"""`train`: behaviour cloning of a `VLAModel` on a dataset of demonstrations.

The folder it writes is a checkpoint from the first save on: `config.json` and
`model.safetensors` with the averaged weights. Beside them lie `training_state.pt` (all that
`--resume` needs), `metrics.jsonl`, `loss.png` and `train.log`.
"""

from __future__ import annotations

import argparse
import logging
import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import torch
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from vla_ros.errors import ParameterError
from vla_ros.learn.folder_lock import lock_folder
from vla_ros.learn.team import ALONE, Team, assembled
from vla_ros.learn.train_arguments import add_arguments
from vla_ros.learn.train_options import read_options
from vla_ros.learn.training import STATE_FILE, Training
from vla_ros.option_ranges import FROM_1, out_of_range
from vla_ros.policy.checkpoint import CONFIG

__all__ = ["Limits", "add_arguments", "run", "train"]

_log = logging.getLogger(__name__)
_LOCK_FILE = ".training.lock"
# Those that no YAML file holds; `TrainOptions` looks at the others.
_RANGES = {"threads": FROM_1, "minutes": (0.01, math.inf), "save_every": (0.01, math.inf)}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to stop, and how often to save."""

    minutes: float | None
    save_every_minutes: float


def run(arguments: argparse.Namespace) -> int:
    """Train, saving now and then; Ctrl-C and SIGTERM save and stop."""
    if problems := out_of_range(arguments, _RANGES):
        raise ParameterError("train", problems)
    options = read_options(arguments.config, vars(arguments))
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    _check_folder(arguments.out, arguments.resume)
    arguments.out.mkdir(parents=True, exist_ok=True)
    limits = Limits(minutes=arguments.minutes, save_every_minutes=arguments.save_every)
    with (
        assembled(options.device) as team,
        _writing_alone(arguments.out, team),
        _log_to(arguments.out / "train.log", team),
    ):
        training = Training.open(
            options,
            arguments.out,
            resume=arguments.resume,
            tensorboard=arguments.tensorboard and team.leads,
            team=team,
        )
        return train(training, limits, team)


def train(training: Training, limits: Limits, team: Team = ALONE) -> int:
    """Take steps until the samples or the minutes are used up; return the exit status."""
    _log.info("%s", training.summary())
    with logging_redirect_tqdm(), _asked_to_stop() as asked:
        _steps(training, limits, asked, team)
    finished = training.progress(limits.minutes) >= 1
    training.save(finished=finished)
    if not finished:
        _log.warning("interrupted and saved; --resume goes on from here")
        return 130
    _log.info("finished: %s; in all %s", training.outcome(), training.pace())
    return 0


def _steps(training: Training, limits: Limits, asked_to_stop: Event, team: Team) -> None:
    bar = tqdm(
        total=training.options.samples,
        initial=training.samples,
        unit="sample",
        unit_scale=True,
        desc="train",
        mininterval=1 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
        disable=not team.leads,
    )
    saved_s = training.elapsed_s
    while training.progress(limits.minutes) < 1 and not team.largest(asked_to_stop.is_set()):
        errors = training.step(limits.minutes)
        bar.set_postfix(
            loss=f"{errors.loss:.3f}", object_cm=f"{100 * errors.target_m:.1f}", refresh=False
        )
        bar.update(training.samples_per_step)
        if training.elapsed_s - saved_s > 60 * limits.save_every_minutes:
            training.save(finished=False)
            saved_s = training.elapsed_s
    bar.close()


@contextmanager
def _asked_to_stop() -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set, so that no step is left half done."""
    asked = Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: asked.set()) for number in signals]
    try:
        yield asked
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _check_folder(out: Path, resume: bool) -> None:
    """Neither overwrite a training or a policy nor resume nothing."""
    exists = (out / STATE_FILE).exists()
    if exists and not resume:
        problem = f"{out} holds a training: add --resume to go on with it, or choose another --out"
        raise ParameterError("train", [problem])
    if (out / CONFIG).exists() and not exists:
        problem = (
            f"{out} holds a checkpoint, which would be overwritten, and no {STATE_FILE} to go on "
            "from: choose another --out; --init begins with its weights"
        )
        raise ParameterError("train", [problem])
    if resume and not exists:
        problem = f"--resume: {out / STATE_FILE} does not exist; leave --resume out to begin"
        raise ParameterError("train", [problem])


@contextmanager
def _writing_alone(out: Path, team: Team) -> Iterator[None]:
    """Keep other trainings out of the folder; the process that leads is the one that writes."""
    lock = lock_folder(out, _LOCK_FILE) if team.leads else nullcontext()
    if lock is None:
        problem = f"another training is writing to {out}: wait for it, or choose another --out"
        raise ParameterError("train", [problem])
    with lock:
        yield


@contextmanager
def _log_to(path: Path, team: Team) -> Iterator[None]:
    """Log to a file, too; a process that does not lead tells only what is wrong."""
    logger = logging.getLogger("vla_ros")
    if not team.leads:
        logger.setLevel(logging.WARNING)
        yield
        return
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
