"""`evaluate`: success rate and mean reward of a policy on scenes its training never saw.

The specification's `evaluate_vla`. Every episode goes through the control loop that runs on a
robot; the random policy on the same seeds stands beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from vla_ros.errors import ParameterError, SceneError
from vla_ros.learn.expert_policy import STEP_S, ExpertPolicy
from vla_ros.learn.film import label, write_mp4
from vla_ros.learn.random_policy import RandomPolicy
from vla_ros.learn.rollout import Outcome, run_episode, step_by_step
from vla_ros.learn.scores import Scored, summarise, table
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.share import share_path
from vla_ros.sim.tasks import COMBINATIONS, TASKS, check_task
from vla_ros.sim.world import TabletopSim

POLICIES = ("checkpoint", "expert", "random")
_FILM_FPS = 20
_FILM_PX = (360, 480)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to evaluate and how; goes to every process."""

    policy: str
    checkpoint: Path
    robot: Path
    combinations: str
    wordings: str
    latency_s: float
    film_dir: Path | None
    real_time_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One episode; `template` replaces the drawn words when it is not `None`."""

    task: str
    seed: int
    template: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evaluate`."""
    add = parser.add_argument
    add("--policy", choices=POLICIES, default="checkpoint", help="what acts (default: checkpoint)")
    add("--checkpoint", type=Path, help="folder of the checkpoint (default: the shipped one)")
    add("--robot", type=Path, help="robot file (default: config/panda.yaml)")
    add("--episodes", type=int, default=20, help="episodes of each task (default: 20)")
    add("--seed", type=int, default=1000, help="seed of the first scene (default: 1000)")
    add("--tasks", help=f"tasks with commas between (default: {','.join(TASKS)})")
    add("--combinations", choices=COMBINATIONS, default="seen", help="pairs of verb and colour")
    add("--wordings", choices=("seen", "heldout"), default="seen", help="templates of the words")
    add("--instructions", type=Path, help="YAML: task → list of texts to use, in turn")
    add("--latency-s", type=float, default=0.05, help="simulated time of an inference, in seconds")
    add("--jobs", type=int, default=2, help="number of processes")
    add("--json", type=Path, help="file to write the results to")
    add("--video", type=Path, help="folder to write a film of every episode to")
    add("--no-random", action="store_true", help="leave out the random policy's run")
    add("--through-ros", action="store_true", help="run over ROS topics: sim_node and vla_node")
    add(
        "--real-time-factor",
        type=float,
        default=1.0,
        help="with --through-ros: simulated seconds a second; below 1 on a busy machine",
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, print tables, write the JSON."""
    settings = _settings(arguments)
    tasks = [check_task(task) for task in (arguments.tasks or ",".join(TASKS)).split(",")]
    jobs = plan(tasks, arguments.episodes, arguments.seed, read_templates(arguments.instructions))
    if arguments.json:
        open_result(arguments.json)
    if arguments.through_ros:
        from vla_ros.ros.remote_evaluation import evaluate_through_ros

        scored = evaluate_through_ros(settings, jobs)
    else:
        scored = _evaluate_all(settings, jobs, arguments.jobs)
    result: dict[str, Any] = {"policy": settings.policy, "through_ros": arguments.through_ros}
    result |= {"seed": arguments.seed, **summarise(scored)}
    print(table(settings.policy, result))
    write_result(arguments.json, result)
    if settings.policy != "random" and not arguments.no_random:
        random = settings.__class__(**{**vars(settings), "policy": "random", "film_dir": None})
        result["random"] = summarise(_evaluate_all(random, jobs, arguments.jobs))
        print(table("random, same seeds", result["random"]))
        write_result(arguments.json, result)
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        policy=arguments.policy,
        checkpoint=arguments.checkpoint or share_path("checkpoints/tabletop")
        if arguments.policy == "checkpoint"
        else Path(),
        robot=arguments.robot or share_path("config/panda.yaml"),
        combinations=arguments.combinations,
        wordings=arguments.wordings,
        latency_s=arguments.latency_s,
        film_dir=arguments.video,
        real_time_factor=arguments.real_time_factor,
    )


def open_result(path: Path) -> None:
    """See that `path` can be written before hours are spent; what it holds stays for now.

    Raises:
        ParameterError: It cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        raise _json_error(path, error) from error


def write_result(path: Path | None, result: dict[str, Any]) -> None:
    """Write the result so far; nothing without a path.

    Raises:
        ParameterError: The file cannot be written.
    """
    if path is None:
        return
    try:
        path.write_text(json.dumps(result, indent=1))
    except OSError as error:
        raise _json_error(path, error) from error


def _json_error(path: Path, error: OSError) -> ParameterError:
    problem = f"--json: {path} cannot be written: {error.strerror}; choose another file"
    return ParameterError("evaluate", [problem])


def read_templates(path: Path | None) -> dict[str, list[str]]:
    """Read a YAML file of task → list of texts; empty without a file.

    Raises:
        SceneError: The file cannot be read or is not of that form.
    """
    if path is None:
        return {}
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SceneError(f"--instructions: {path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise SceneError(f"{path} must map tasks to lists of texts, got {type(data).__name__}")
    for task, texts in data.items():
        check_task(task)
        if not (isinstance(texts, list) and texts and all(isinstance(t, str) for t in texts)):
            raise SceneError(f"{path}, {task}: must be a list of texts, got {texts!r}")
    return data


def plan(
    tasks: Sequence[str], episodes: int, first_seed: int, templates: dict[str, list[str]]
) -> list[Job]:
    """One job an episode: the same seeds for every task, texts in turn."""
    jobs = []
    for task in tasks:
        texts = templates.get(task)
        for index in range(episodes):
            template = texts[index % len(texts)] if texts else None
            jobs.append(Job(task=task, seed=first_seed + index, template=template))
    return jobs


class Evaluator:
    """A world and a policy that run one job after another."""

    def __init__(self, settings: Settings) -> None:
        """Args: settings: What to evaluate."""
        self._settings = settings
        self._robot = load_robot(settings.robot)
        self._world = TabletopSim()
        self._checkpoint: Policy | None = None

    def run(self, job: Job) -> Scored:
        """Run one episode."""
        settings, world = self._settings, self._world
        episode = world.reset(
            seed=job.seed,
            task=job.task,
            combinations=settings.combinations,
            wordings=settings.wordings,
            instruction=job.template,
        )
        policy, robot = self._policy(job)
        pictures: list[Any] = []
        outcome = run_episode(
            world,
            policy,
            robot,
            latency_s=0.0 if settings.policy == "expert" else settings.latency_s,
            on_tick=(lambda: self._film(pictures)) if settings.film_dir else None,
        )
        if settings.film_dir:
            self._write_film(settings.film_dir, job, outcome, pictures)
        return Scored(
            task=job.task,
            seed=job.seed,
            color=episode.color,
            instruction=episode.instruction,
            outcome=outcome,
        )

    def _policy(self, job: Job) -> tuple[Policy, RobotConfig]:
        match self._settings.policy:
            case "expert":
                robot = step_by_step(self._robot, STEP_S)
                return ExpertPolicy(self._robot, self._world), robot
            case "random":
                return RandomPolicy(self._robot, job.seed), self._robot
            case _:
                return self._load_checkpoint(), self._robot

    def _load_checkpoint(self) -> Policy:
        if self._checkpoint is None:
            from vla_ros.policy.check import check_fits
            from vla_ros.policy.vla_policy import VLAPolicy

            self._checkpoint = VLAPolicy.load(self._settings.checkpoint, threads=1)
            check_fits(self._checkpoint.spec, self._robot)
        return self._checkpoint

    def _film(self, pictures: list[Any]) -> None:
        if self._world.time_s >= len(pictures) / _FILM_FPS:
            view = self._world.render_view("demo", *_FILM_PX)
            pictures.append(label(view, self._world.episode.instruction))

    def _write_film(self, folder: Path, job: Job, outcome: Outcome, pictures: list[Any]) -> None:
        verdict = "success" if outcome.success else "failure"
        write_mp4(folder / f"{job.task}_{job.seed}_{verdict}.mp4", pictures, _FILM_FPS)


_evaluator: Evaluator


def _start_worker(settings: Settings) -> None:
    global _evaluator
    _evaluator = Evaluator(settings)


def _run_job(job: Job) -> Scored:
    return _evaluator.run(job)


def _evaluate_all(settings: Settings, jobs: Sequence[Job], processes: int) -> list[Scored]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _start_worker, (settings,)) as pool:
        return list(progress(pool.imap(_run_job, jobs), len(jobs), settings.policy))


def progress(scored: Iterator[Scored], total: int, name: str) -> Iterator[Scored]:
    """Pass on what is `scored` under a progress bar with the successes so far."""
    bar = tqdm(scored, total=total, unit="episode", desc=f"evaluate {name}", mininterval=2)
    successes = 0
    for count, one in enumerate(bar, start=1):
        successes += one.outcome.success
        bar.set_postfix_str(f"success {successes}/{count}")
        yield one
