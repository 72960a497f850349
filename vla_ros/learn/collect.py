"""`collect`: expert episodes in the simulated tabletop, written as a dataset.

Noise is injected into the expert's execution; the labels stay the expert's own corrections.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vla_ros.image import resize
from vla_ros.learn.dataset_writer import DatasetWriter
from vla_ros.learn.episode import EpisodeData
from vla_ros.learn.excursion import wander
from vla_ros.learn.expert_policy import STEP_S, ExpertPolicy, Noise, Row
from vla_ros.learn.rollout import look, run_episode, step_by_step
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.share import share_path
from vla_ros.sim.scene import CAMERAS
from vla_ros.sim.tasks import TASKS, TEMPLATES, requests_for, write_instruction
from vla_ros.sim.world import Episode, TabletopSim

PICTURE_PX = 96
FIRST_SEED = 100_000
# Seeds from here on, counted from the first, are of scenes recorded for a moment only.
FIRST_MOMENT = 1_000_000
_SHARES = {
    "pick_object": 0.22,
    "place_object": 0.29,
    "push_object": 0.27,
    "open_drawer": 0.11,
    "close_drawer": 0.11,
}
_AFTER_SUCCESS_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `collect`."""
    parser.add_argument("--out", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--episodes", type=int, default=2000, help="number of episodes, all tasks")
    parser.add_argument(
        "--moments",
        type=int,
        default=0,
        help="number of further scenes of which only the first moment is recorded, once for each "
        "block and for the drawer: cheap, and the words alone tell which is meant",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=FIRST_SEED,
        help="seed of the first scene; evaluation uses others",
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument(
        "--robot", type=Path, default=None, help="robot file (default: config/panda.yaml)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Collect, going on where an interrupted collection stopped."""
    path = arguments.robot or share_path("config/panda.yaml")
    robot = load_robot(path)
    with _open_writer(arguments.out, robot) as writer:
        jobs = [job for job in plan(arguments.episodes, arguments.seed) if job not in writer.seeds]
        scenes = {seed for _, seed in writer.seeds}
        moments = plan(arguments.moments, arguments.seed + FIRST_MOMENT)
        jobs += [job for job in moments if job[1] not in scenes]
        failed = 0
        bar = tqdm(total=len(jobs), unit="episode", desc="collect", mininterval=5)
        for episodes in _record_all(jobs, path, arguments):
            bar.update()
            failed += not episodes
            for episode in episodes:
                writer.add(episode)
        bar.close()
    added = len(jobs) - failed
    print(f"{added} episodes added to {arguments.out}; {failed} failed and were left out")
    return 0


def _open_writer(out: Path, robot: RobotConfig) -> DatasetWriter:
    return DatasetWriter(
        out,
        robot=robot.robot,
        fps=round(1 / STEP_S),
        cameras=CAMERAS,
        height_px=PICTURE_PX,
        width_px=PICTURE_PX,
        state_names=robot.action_names,
        action_names=robot.action_names,
    )


def plan(episodes: int, first_seed: int) -> list[tuple[str, int]]:
    """Pairs of task and seed, the tasks mixed in their shares."""
    jobs = [
        ((index + 0.5) / round(share * episodes), task, first_seed + index)
        for task, share in _SHARES.items()
        for index in range(round(share * episodes))
    ]
    return [(task, seed) for _, task, seed in sorted(jobs)]


def record(world: TabletopSim, robot: RobotConfig, task: str, seed: int) -> EpisodeData | None:
    """One noisy expert episode; `None` when it did not succeed."""
    rng = np.random.default_rng([seed, TASKS.index(task), 1])
    episode = world.reset(seed=seed, task=task)
    rows: list[Row] = []
    expert = ExpertPolicy(robot, world, noise=Noise(rng), rows=rows)
    wander(world, expert.expert, rng)
    if world.success:
        return None
    outcome = run_episode(
        world, expert, step_by_step(robot, STEP_S), after_success_s=_AFTER_SUCCESS_S
    )
    return _episode_data(episode, rows) if outcome.success else None


def record_moments(
    world: TabletopSim, robot: RobotConfig, task: str, seed: int
) -> list[EpisodeData]:
    """The first moment of a scene, a row long: what to do now if asked for this, or for that."""
    rng = np.random.default_rng([seed, TASKS.index(task), 1])
    world.reset(seed=seed, task=task)
    wander(world, ExpertPolicy(robot, world).expert, rng)
    observation = look(world, "")
    episodes = []
    for request in requests_for(rng, world.layout.colors):
        template = str(rng.choice(TEMPLATES[request.task]))
        episode = world.ask(request, write_instruction(request, template))
        rows: list[Row] = []
        ExpertPolicy(robot, world, rows=rows).infer(observation)
        episodes.append(_episode_data(episode, rows))
    return episodes


def _episode_data(episode: Episode, rows: list[Row]) -> EpisodeData:
    states = [
        np.append(row.observation.state.position_rad, row.observation.state.gripper_open or 0.0)
        for row in rows
    ]
    frames = {
        name: np.stack(
            [
                resize(row.observation.frames[name].pixels, PICTURE_PX, PICTURE_PX, "letterbox")
                for row in rows
            ]
        )
        for name in CAMERAS
    }
    return EpisodeData(
        frames=frames,
        state=np.stack(states).astype(np.float32),
        action=np.stack([row.action for row in rows]).astype(np.float32),
        target_m=np.stack([row.target_m for row in rows]).astype(np.float32),
        target_uv=np.stack([row.target_uv for row in rows]).astype(np.float32),
        **vars(episode),
    )


_worker: tuple[TabletopSim, RobotConfig, int]


def _start_worker(robot_path: Path, first_moment: int) -> None:
    global _worker
    # A software renderer's own threads would only get into each other's way.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    _worker = TabletopSim(), load_robot(robot_path), first_moment


def _record_job(job: tuple[str, int]) -> list[EpisodeData]:
    world, robot, first_moment = _worker
    if job[1] >= first_moment:
        return record_moments(world, robot, *job)
    episode = record(world, robot, *job)
    return [] if episode is None else [episode]


def _record_all(
    jobs: list[tuple[str, int]], robot_path: Path, arguments: argparse.Namespace
) -> Iterator[list[EpisodeData]]:
    context = multiprocessing.get_context("spawn")
    start = (robot_path, arguments.seed + FIRST_MOMENT)
    with context.Pool(arguments.jobs, _start_worker, start) as pool:
        yield from pool.imap(_record_job, jobs, chunksize=2)
