"""`ablate`: train variants of one training, a few seeds each, and evaluate them on the same scenes.

Every training and evaluation is the command that anybody would give, in a process of its own. What
is finished is not done again, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from vla_ros.errors import ParameterError, VlaError
from vla_ros.learn.scores import wilson_interval
from vla_ros.learn.train_options import TrainOptions, check_names, read_options, with_numbers
from vla_ros.option_ranges import FROM_0, FROM_1, out_of_range
from vla_ros.output_paths import output_file, output_folder, write_text
from vla_ros.policy.checkpoint import read_checkpoint
from vla_ros.share import share_path

# What is asked of each variant: the options of `evaluate`, and the column's head.
_QUESTIONS = {
    "success": (),
    "new wordings": ("--wordings", "heldout"),
    "new pairs": ("--combinations", "heldout"),
}

_RANGES = {"samples": FROM_1, "seeds": FROM_1, "episodes": FROM_1, "seed": FROM_0, "jobs": FROM_1}
_RANGES |= {"threads": FROM_1, "first_seed": FROM_0}

Scores = dict[str, dict[str, int]]
"""Question → episodes and successes."""

Results = dict[str, Scores]
"""Variant → what all its seeds together give."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ablate`."""
    add = parser.add_argument
    add(
        "--variants",
        type=Path,
        help="YAML: `base` has options of `train`, `variants` has what each changes, by name "
        "(default: config/train/ablations.yaml)",
    )
    add("--data", type=Path, required=True, help="folder of the dataset")
    add("--out", type=output_folder, required=True, help="folder for the trainings and the results")
    add("--samples", type=int, help="samples of each training (default: the file's)")
    add("--seeds", type=int, default=2, help="trainings of each variant (default: %(default)s)")
    add(
        "--first-seed",
        type=int,
        default=0,
        help="seed of the first of them; the others count on (default: %(default)s)",
    )
    add("--episodes", type=int, default=20, help="episodes of each task and training")
    add("--seed", type=int, default=1000, help="seed of the first scene")
    add("--jobs", type=int, default=2, help="number of processes of an evaluation")
    add("--threads", type=int, help="CPU threads of a training (default: torch's choice)")
    add("--json", type=output_file, help="file to write the table's numbers to")


def run(arguments: argparse.Namespace) -> int:
    """Train, evaluate, print the table."""
    if problems := out_of_range(arguments, _RANGES):
        raise ParameterError("ablate", problems)
    variants = read_variants(arguments.variants or share_path("config/train/ablations.yaml"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    counts = {question: {"episodes": 0, "successes": 0} for question in _QUESTIONS}
    results: Results = {name: deepcopy(counts) for name in variants}
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    for seed in seeds:  # all variants once, before any of them twice
        for name, options in variants.items():
            _add(results[name], _scores(arguments, name, {**options, "seed": seed}))
    print(table(results))
    if arguments.json:
        story = {"seeds": list(seeds), "first_scene": arguments.seed, "variants": variants}
        write_text(arguments.json, json.dumps({**story, "results": results}, indent=1) + "\n")
    return 0


def _scores(arguments: argparse.Namespace, name: str, options: Mapping[str, Any]) -> Scores:
    """What one training of the variant `name` gives."""
    folder = arguments.out / f"{name.replace(' ', '_')}_{options['seed']}"
    _train(arguments, folder, options)
    only = ("--tasks", ",".join(options["tasks"])) if options.get("tasks") else ()
    return {
        question: _evaluate(arguments, folder, question, (*asked, *only))
        for question, asked in _QUESTIONS.items()
    }


def _add(total: Scores, more: Scores) -> None:
    for question, counts in more.items():
        for key, count in counts.items():
            total[question][key] += count


def read_variants(path: Path) -> dict[str, dict[str, Any]]:
    """The options of each variant, by its name.

    Raises:
        ParameterError: The file cannot be read or is not of that form, or `train` refuses options.
    """
    source = f"ablate --variants {path}"
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ParameterError(source, [f"it cannot be read: {error}"]) from error
    parts = [data.get(part) for part in ("base", "variants")] if isinstance(data, dict) else [None]
    changes = [*parts[-1].values()] if isinstance(parts[-1], dict) else []
    is_formed = all(isinstance(part, dict) for part in [*parts, *changes])
    if not (is_formed and parts[-1] and all(isinstance(name, str) for name in parts[-1])):
        problem = "it must have `base` and `variants`: options by name, and such by variant"
        raise ParameterError(source, [problem])
    variants = {
        name: with_numbers({**data["base"], **more}) for name, more in data["variants"].items()
    }
    for name, options in variants.items():
        check_names(options, f"{source}, {name}")
        read_options(None, {**options, "data": path})
    return variants


def table(results: Results) -> str:
    """A line a variant: success with its interval for each question."""
    width = max(map(len, results))
    lines = [f"{'variant':{width}}  " + "  ".join(f"{name:22}" for name in _QUESTIONS)]
    for name, answers in results.items():
        cells = [_cell(answers[question]) for question in _QUESTIONS]
        lines.append(f"{name:{width}}  " + "  ".join(f"{cell:22}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _cell(counts: Mapping[str, int]) -> str:
    successes, episodes = counts["successes"], counts["episodes"]
    low, high = wilson_interval(successes, episodes)
    return f"{successes / episodes:.1%} ({low:.1%}–{high:.1%})"


def _train(arguments: argparse.Namespace, folder: Path, options: Mapping[str, Any]) -> None:
    """Train into `folder`, or go on there; nothing when that training is finished.

    Raises:
        ParameterError: What is finished there had other options.
        VlaError: It failed; it has said why.
    """
    if arguments.samples is not None:
        options = {**options, "samples": arguments.samples}
    if (folder / "finished").exists():
        _check_same(folder, read_options(None, {**options, "data": arguments.data}))
        return
    config = folder.with_name(f"{folder.name}.yaml")
    config.write_text(yaml.safe_dump(dict(options)))
    command = ["train", "--config", config, "--data", arguments.data, "--out", folder]
    command += ["--threads", arguments.threads] if arguments.threads else []
    command += ["--resume"] if (folder / "training_state.pt").exists() else []
    _run(command)
    (folder / "finished").touch()


def _check_same(folder: Path, wanted: TrainOptions) -> None:
    """Refuse to show a training under options that it did not have."""
    problems = wanted.differences(read_checkpoint(folder).training, folder)
    if problems:
        raise ParameterError(f"ablate: choose another --out, or delete {folder}", problems)


def _evaluate(
    arguments: argparse.Namespace, folder: Path, question: str, asked: Sequence[str]
) -> dict[str, int]:
    """Episodes and successes of the checkpoint in `folder`."""
    path = folder / f"{question.replace(' ', '_')}_{arguments.seed}_{arguments.episodes}.json"
    if not path.exists():
        command = ["evaluate", "--checkpoint", folder, "--no-random", "--seed", arguments.seed]
        command += ["--episodes", arguments.episodes, "--jobs", arguments.jobs, *asked]
        command += ["--json", path.with_suffix(".new")]
        _run(command)
        path.with_suffix(".new").rename(path)
    episodes = json.loads(path.read_text())["episodes"]
    return {"episodes": len(episodes), "successes": sum(one["success"] for one in episodes)}


def _run(words: Sequence[object]) -> None:
    """Run a subcommand; Ctrl-C and SIGTERM end us after it, which has something to save.

    Raises:
        KeyboardInterrupt: It was ended so.
        VlaError: It failed; it has said why.
    """
    text = [str(word) for word in words]
    children: list[subprocess.Popen[bytes]] = []
    asked = Event()

    def stop(number: int, frame: object) -> None:
        asked.set()
        for child in children if number == signal.SIGTERM else []:  # Ctrl-C comes to it by itself
            child.terminate()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        children.append(subprocess.Popen([sys.executable, "-m", "vla_ros", *text]))
        if asked.is_set():  # before there was a child to tell
            children[0].terminate()
        status = children[0].wait()
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if asked.is_set():
        raise KeyboardInterrupt
    if status:
        raise VlaError(f"ablate: `vla {' '.join(text)}` ended with status {status}")
