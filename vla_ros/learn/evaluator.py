"""Play episodes of a policy and score them, in several processes.

Called by `evaluate`; `vla_ros/ros/remote_evaluation.py` plays the same jobs over topics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vla_ros.drawing import label
from vla_ros.learn.expert_policy import STEP_S, ExpertPolicy
from vla_ros.learn.film import film_name, write_mp4
from vla_ros.learn.jobs import Job, Settings
from vla_ros.learn.pool import work_off
from vla_ros.learn.random_policy import RandomPolicy
from vla_ros.learn.rollout import Outcome, Switch, run_episode, step_by_step
from vla_ros.learn.scores import Scored
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.sim.layout import draw_other_request
from vla_ros.sim.tasks import TASKS, draw_template, write_instruction
from vla_ros.sim.world import TabletopSim

_FILM_FPS = 20
_FILM_PX = (360, 480)
# Streams of random numbers: the scene's own has none, the collector has 1, disturbances have 3.
_SWITCH_STREAM = 2


class Evaluator:
    """A world and a policy that run one job after another."""

    def __init__(self, settings: Settings) -> None:
        """Args: settings: What to evaluate."""
        self._settings = settings
        self._robot = load_robot(settings.robot)
        self._world = TabletopSim(disturbance=settings.disturbance)
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
        switch = None if settings.switch_s is None else self._draw_switch(settings.switch_s)
        policy, robot = self._policy(job)
        pictures: list[Any] = []
        outcome = run_episode(
            world,
            policy,
            robot,
            latency_s=0.0 if settings.policy == "expert" else settings.latency_s,
            on_tick=(lambda: self._film(pictures)) if settings.film_dir else None,
            switch=switch,
        )
        if settings.film_dir:
            self._write_film(settings.film_dir, job, outcome, pictures)
        return Scored(
            task=job.task,
            seed=job.seed,
            color=world.episode.color,
            instruction=episode.instruction
            if switch is None
            else f"{episode.instruction} → {switch.instruction}",
            outcome=outcome,
        )

    def _draw_switch(self, at_s: float) -> Switch:
        """Something else that the scene of the running episode can be asked for."""
        episode, settings = self._world.episode, self._settings
        rng = np.random.default_rng([episode.seed, TASKS.index(episode.task), _SWITCH_STREAM])
        request = draw_other_request(rng, self._world.layout, settings.combinations)
        template = draw_template(rng, request.task, settings.wordings)
        words = write_instruction(request, template)
        return Switch(at_s=at_s, request=request, instruction=words)

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
        write_mp4(folder / film_name(job.task, job.seed, outcome.success), pictures, _FILM_FPS)


def evaluate_all(settings: Settings, jobs: Sequence[Job], processes: int) -> list[Scored]:
    """Play all jobs under a progress bar; the results are in their order."""
    scored = work_off(partial(_make_evaluator, settings), jobs, processes)
    return list(progress(scored, len(jobs), settings.policy))


def _make_evaluator(settings: Settings) -> Callable[[Job], Scored]:
    return Evaluator(settings).run


def progress(scored: Iterator[Scored], total: int, name: str) -> Iterator[Scored]:
    """Pass on what is `scored` under a progress bar with the successes so far."""
    bar = tqdm(scored, total=total, unit="episode", desc=f"evaluate {name}", mininterval=2)
    successes = 0
    for count, one in enumerate(bar, start=1):
        successes += one.outcome.success
        bar.set_postfix_str(f"success {successes}/{count}")
        yield one
