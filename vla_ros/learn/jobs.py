"""What an evaluation plays: the episodes, and the words each is asked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vla_ros.errors import ParameterError
from vla_ros.sim.world import TabletopSim


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to evaluate and how; goes to every process.

    Attributes:
        policy: `checkpoint`, `expert` or `random`.
        checkpoint: Folder of the checkpoint.
        robot: The robot file.
        combinations: Pairs of verb and colour, `seen`, `heldout` or `all`.
        wordings: Templates of the words, `seen` or `heldout`.
        latency_s: Simulated time of an inference.
        film_dir: Where to write a film of every episode to; `None` for none.
        real_time_factor: Simulated seconds a second, over ROS topics.
        switch_s: Simulated time at which other words come; `None` when the first ones stay.
        disturbance: One of `sim.disturbance.DISTURBANCES`, or empty.
    """

    policy: str
    checkpoint: Path
    robot: Path
    combinations: str
    wordings: str
    latency_s: float
    film_dir: Path | None
    real_time_factor: float = 1.0
    switch_s: float | None = None
    disturbance: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One episode; `template` replaces the drawn words when it is not `None`."""

    task: str
    seed: int
    template: str | None


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


def shuffled(jobs: Sequence[Job], settings: Settings, seed: int) -> list[Job]:
    """The same scenes, each with the words of another of them that asks for something else.

    Args:
        jobs: Episodes with their own words.
        settings: How their scenes and words are drawn.
        seed: Of the choice.

    Raises:
        ParameterError: All of them ask for the same.
    """
    world, asked = TabletopSim(), []
    for job in jobs:
        episode = world.reset(
            seed=job.seed,
            task=job.task,
            combinations=settings.combinations,
            wordings=settings.wordings,
            instruction=job.template,
        )
        asked.append((world.request, episode.instruction))
    rng, result = np.random.default_rng(seed), []
    for job, (own, _) in zip(jobs, asked, strict=True):
        others = [text for request, text in asked if request != own]
        if not others:
            problem = "--shuffled: all episodes ask for the same; take more episodes or more tasks"
            raise ParameterError("evaluate", [problem])
        result.append(replace(job, template=others[rng.integers(len(others))]))
    return result
