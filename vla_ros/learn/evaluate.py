"""`evaluate`: success rate and mean reward of a policy on scenes its training never saw.

The specification's `evaluate_vla`. Every episode goes through the control loop that runs on a
robot; the random policy on the same seeds stands beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vla_ros.errors import ParameterError
from vla_ros.learn.evaluator import evaluate_all
from vla_ros.learn.jobs import Job, Settings, plan, shuffled
from vla_ros.learn.report import CLIPS, PAGE, write_report
from vla_ros.learn.rollout import TIME_LIMIT_S
from vla_ros.learn.scores import (
    Scored,
    disturbance_table,
    robots_table,
    summarise,
    table,
)
from vla_ros.learn.wordings import read_templates
from vla_ros.option_ranges import FROM_0, FROM_1, out_of_range
from vla_ros.output_paths import output_file, output_folder, write_text
from vla_ros.share import share_path
from vla_ros.sim.disturbance import DISTURBANCES, check_disturbance
from vla_ros.sim.tasks import COMBINATIONS, TASKS, check_task

SWITCH_S = 1.5
POLICIES = ("checkpoint", "expert", "random")

_RANGES = {"episodes": FROM_1, "seed": FROM_0, "jobs": FROM_1}
_RANGES |= {"latency_s": (0, 10), "real_time_factor": (0.01, 100)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evaluate`."""
    add = parser.add_argument
    add("--policy", choices=POLICIES, default="checkpoint", help="what acts (default: checkpoint)")
    add("--checkpoint", type=Path, help="folder of the checkpoint (default: the shipped one)")
    add(
        "--robot",
        type=Path,
        nargs="+",
        help="robot file (default: config/panda.yaml); with --through-ros several, to compare the "
        "outputs to the arm that they choose",
    )
    add("--episodes", type=int, default=20, help="episodes of each task (default: 20)")
    add("--seed", type=int, default=1000, help="seed of the first scene (default: 1000)")
    add("--tasks", help=f"tasks with commas between (default: {','.join(TASKS)})")
    add("--combinations", choices=COMBINATIONS, default="seen", help="pairs of verb and colour")
    add("--wordings", choices=("seen", "heldout"), default="seen", help="templates of the words")
    add("--instructions", type=Path, help="YAML: task → list of texts to use, in turn")
    add("--latency-s", type=float, default=0.05, help="simulated time of an inference, in seconds")
    add("--jobs", type=int, default=2, help="number of processes")
    add("--json", type=output_file, help="file to write the results to")
    films = parser.add_mutually_exclusive_group()
    films.add_argument(
        "--video", type=output_folder, help="folder to write a film of every episode to"
    )
    films.add_argument(
        "--report",
        type=output_folder,
        help="folder to write an HTML report to, with clips of the failures, the worst first",
    )
    add(
        "--shuffled",
        action="store_true",
        help="give each scene the words of another episode: what success comes by chance",
    )
    add(
        "--switch",
        type=float,
        nargs="?",
        const=SWITCH_S,
        metavar="SECONDS",
        help="ask for something with another object of the same scene at this time, in mid-motion "
        f"({SWITCH_S} s if no number is given; 0: from the start), and count its success",
    )
    add(
        "--disturb",
        metavar="NAMES",
        help="evaluate the same scenes again, each time with one thing changed: all, or with "
        f"commas between: {', '.join(DISTURBANCES)}",
    )
    add("--no-random", action="store_true", help="leave out the random policy's run")
    add("--through-ros", action="store_true", help="run over ROS topics: sim_node and vla_node")
    add(
        "--real-time-factor",
        type=float,
        default=1.0,
        help="with --through-ros: simulated seconds a second; below 1 on a busy machine",
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print tables, write the JSON and the report."""
    names = _disturbances(arguments.disturb)
    _check(arguments, names)
    settings = _settings(arguments)
    jobs = _jobs(arguments, settings)
    summary = partial(summarise, shuffled=arguments.shuffled)
    result: dict[str, Any] = _asked(arguments) | summary(_play(arguments, settings, jobs))
    print(table(settings.policy, result))
    write_result(arguments.json, result)
    plain = replace(settings, film_dir=None)
    others = (arguments.robot or [])[1:]
    for path in others:
        scored = _play(arguments, replace(plain, robot=path), jobs)
        result.setdefault("robots", {})[path.stem] = summary(scored)
        write_result(arguments.json, result)
    if others:
        print(robots_table({settings.robot.stem: result, **result["robots"]}))
    if settings.policy != "random" and not arguments.no_random:
        random = replace(plain, policy="random", switch_s=None)
        result["random"] = summary(evaluate_all(random, jobs, arguments.jobs))
        print(table("random, same seeds", result["random"]))
        write_result(arguments.json, result)
    for name in names:
        scored = evaluate_all(replace(plain, disturbance=name), jobs, arguments.jobs)
        result.setdefault("disturbed", {})[name] = summary(scored)
        write_result(arguments.json, result)
    if names:
        print(disturbance_table({"": result, **result["disturbed"]}))
    if arguments.report:
        write_report(arguments.report, result, settings)
        print(f"report: {arguments.report / PAGE}")
    return 0


def _play(
    arguments: argparse.Namespace, settings: Settings, jobs: Sequence[Job]
) -> Sequence[Scored]:
    if not arguments.through_ros:
        return evaluate_all(settings, jobs, arguments.jobs)
    from vla_ros.ros.remote_evaluation import evaluate_through_ros

    return evaluate_through_ros(settings, jobs)


def _jobs(arguments: argparse.Namespace, settings: Settings) -> list[Job]:
    tasks = [check_task(task) for task in (arguments.tasks or ",".join(TASKS)).split(",")]
    jobs = plan(tasks, arguments.episodes, arguments.seed, read_templates(arguments.instructions))
    return shuffled(jobs, settings, arguments.seed) if arguments.shuffled else jobs


def _disturbances(text: str | None) -> list[str]:
    if not text:
        return []
    names = DISTURBANCES if text == "all" else text.split(",")
    return [check_disturbance(name) for name in names]


def _check(arguments: argparse.Namespace, disturbances: list[str]) -> None:
    """Refuse options that do not go together.

    Raises:
        ParameterError: With all that are wrong.
    """
    problems = []
    robots = arguments.robot or []
    if len(robots) > 1 and not arguments.through_ros:
        problems.append("--robot: several only with --through-ros; in process nothing is sent")
    if len({path.stem for path in robots}) < len(robots):
        problems.append("--robot: two files have the same name, which tells them apart")
    if arguments.through_ros and disturbances:
        problems.append("--disturb: only in process; leave --through-ros out")
    if arguments.through_ros and arguments.switch is not None:
        problems.append("--switch: only in process; leave --through-ros out")
    if arguments.shuffled and arguments.switch is not None:
        problems.append("--shuffled and --switch both change the words; choose one")
    if arguments.shuffled and arguments.policy == "expert":
        problems.append("--shuffled: the expert reads the simulator's state, no words")
    if arguments.switch is not None and not 0 <= arguments.switch < TIME_LIMIT_S:
        problems.append(
            f"--switch: {arguments.switch} s; valid: from 0 to below {TIME_LIMIT_S:g} s"
        )
    problems += out_of_range(arguments, _RANGES)
    if problems:
        raise ParameterError("evaluate", problems)


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was evaluated, for the results."""
    return {
        "policy": arguments.policy,
        "through_ros": arguments.through_ros,
        "seed": arguments.seed,
        "combinations": arguments.combinations,
        "wordings": arguments.wordings,
        "shuffled": arguments.shuffled,
        "switch_s": arguments.switch,
    }


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        policy=arguments.policy,
        checkpoint=arguments.checkpoint or share_path("checkpoints/tabletop")
        if arguments.policy == "checkpoint"
        else Path(),
        robot=arguments.robot[0] if arguments.robot else share_path("config/panda.yaml"),
        combinations=arguments.combinations,
        wordings=arguments.wordings,
        latency_s=arguments.latency_s,
        film_dir=arguments.report / CLIPS if arguments.report else arguments.video,
        real_time_factor=arguments.real_time_factor,
        switch_s=arguments.switch,
    )


def write_result(path: Path | None, result: dict[str, Any]) -> None:
    """Write the result so far; nothing without a path.

    Raises:
        ParameterError: The file cannot be written.
    """
    if path is None:
        return
    try:
        write_text(path, json.dumps(result, indent=1))
    except OSError as error:
        raise _json_error(path, error) from error


def _json_error(path: Path, error: OSError) -> ParameterError:
    problem = f"--json: {path} cannot be written: {error.strerror}; choose another file"
    return ParameterError("evaluate", [problem])
