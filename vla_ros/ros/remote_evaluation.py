"""`evaluate --through-ros`: the same episodes, played by `sim_node` and `vla_node` over topics.

Called by `vla_ros/learn/evaluate.py`, which imports this only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vla_ros.drawing import beside
from vla_ros.errors import ParameterError
from vla_ros.learn.evaluator import progress
from vla_ros.learn.film import film_name, write_mp4
from vla_ros.learn.jobs import Job, Settings
from vla_ros.learn.rollout import TIME_LIMIT_S, Outcome
from vla_ros.learn.scores import Scored
from vla_ros.ros.stage import Cue, Stage, StageOptions, open_stage
from vla_ros.ros.take import Take

_FPS = 20


def evaluate_through_ros(
    settings: Settings, jobs: Sequence[Job], limit_s: float = TIME_LIMIT_S
) -> list[Scored]:
    """Play the jobs one after another; an inference takes the time that it takes.

    Args:
        settings: What to evaluate; `latency_s` has no meaning here.
        jobs: The episodes.
        limit_s: Simulated time of an episode.

    Raises:
        ParameterError: The policy is not a checkpoint.
        NodeError: A node ended, is silent, or refuses.
    """
    if settings.policy != "checkpoint":
        why = {
            "expert": "expert reads the simulator's state and cannot run over topics",
            "random": "random runs in process only, where it needs no topics to fail",
        }
        problem = f"--policy: {why[settings.policy]}; valid with --through-ros: checkpoint"
        raise ParameterError("evaluate", [problem])
    options = StageOptions(
        checkpoint=settings.checkpoint,
        robot=settings.robot,
        real_time_factor=settings.real_time_factor,
        with_pictures=settings.film_dir is not None,
    )
    with open_stage(options) as stage:
        scored = play_all(stage, settings, jobs, limit_s)
        return list(progress(scored, len(jobs), "checkpoint through ROS"))


def play_all(
    stage: Stage, settings: Settings, jobs: Sequence[Job], limit_s: float
) -> Iterator[Scored]:
    """Play jobs on a stage that stands."""
    for job in jobs:
        cue = Cue(
            task=job.task,
            seed=job.seed,
            combinations=settings.combinations,
            wordings=settings.wordings,
            template=job.template,
        )
        take = stage.play(cue, limit_s)
        if settings.film_dir is not None:
            _write_film(settings.film_dir, job, take)
        yield _scored(job, take)


def _scored(job: Job, take: Take) -> Scored:
    # A success after the limit, between two reports, was rewarded with 1 but does not count.
    late = take.report.success_s is not None and not take.is_success
    outcome = Outcome(
        success=take.is_success,
        reward=take.report.reward - late,
        time_s=take.time_s,
        first_touched=take.report.first_touched,
    )
    return Scored(
        task=job.task,
        seed=job.seed,
        color=take.began.color,
        instruction=take.instruction,
        outcome=outcome,
    )


def _write_film(folder: Path, job: Job, take: Take) -> None:
    pictures = [
        beside(list(shot.pictures.values()), [take.instruction, shot.status]) for shot in take.shots
    ]
    if pictures:
        write_mp4(folder / film_name(job.task, job.seed, take.is_success), pictures, _FPS)
