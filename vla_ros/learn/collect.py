"""`collect`: expert episodes in the simulated tabletop, written as a dataset.

Noise is injected into the expert's execution; the labels stay the expert's own corrections.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Set
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vla_ros.errors import ParameterError
from vla_ros.learn.dataset_writer import DatasetWriter
from vla_ros.learn.episode import EpisodeData
from vla_ros.learn.expert_policy import STEP_S
from vla_ros.learn.pool import work_off
from vla_ros.learn.recording import (
    CORRECTION_SHARES,
    DEMONSTRATION_SHARES,
    PICTURE_PX,
    draw_disturbance,
    record_corrections,
    record_demonstration,
    record_moments,
)
from vla_ros.option_ranges import FROM_0, FROM_1, out_of_range
from vla_ros.output_paths import output_folder
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.share import share_path
from vla_ros.sim.scene import CAMERAS
from vla_ros.sim.world import TabletopSim

FIRST_SEED = 100_000
# Seeds from here on, counted from the first, are of scenes recorded for a moment only.
FIRST_MOMENT = 1_000_000
# And from here on, of scenes in which a policy and the expert take turns.
FIRST_CORRECTION = 2_000_000
_RANGES = {"episodes": FROM_0, "moments": FROM_0, "corrections": FROM_0, "seed": FROM_0}
_RANGES |= {"jobs": FROM_1}
_SHARES = {
    "pick_object": 0.22,
    "place_object": 0.29,
    "push_object": 0.27,
    "open_drawer": 0.11,
    "close_drawer": 0.11,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `collect`."""
    parser.add_argument("--out", type=output_folder, required=True, help="folder of the dataset")
    parser.add_argument("--episodes", type=int, default=2000, help="number of episodes, all tasks")
    parser.add_argument(
        "--moments",
        type=int,
        default=0,
        help="number of further scenes of which only the first moment is recorded, once for each "
        "block and for the drawer: cheap, and the words alone tell which is meant",
    )
    parser.add_argument(
        "--corrections",
        type=int,
        default=0,
        help="number of further scenes in which the policy of --checkpoint and the expert take "
        "turns; what the expert does is recorded. Those in --out count, whatever policy was in "
        "them: a second round needs a larger number",
    )
    parser.add_argument(
        "--checkpoint", type=Path, help="folder of that policy (default: the shipped one)"
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
    if problems := out_of_range(arguments, _RANGES):
        raise ParameterError("collect", problems)
    path = arguments.robot or share_path("config/panda.yaml")
    with _open_writer(arguments.out, load_robot(path)) as writer:
        wanted = _wanted(arguments)
        jobs = _missing(wanted, arguments.seed, writer.seeds)
        failed = 0
        bar = tqdm(total=len(jobs), unit="scene", desc="collect", mininterval=5)
        make = partial(_make_recorder, path, arguments.seed, arguments.checkpoint)
        for episodes in work_off(make, jobs, arguments.jobs):
            bar.update()
            failed += not episodes
            for episode in episodes:
                writer.add(episode)
        bar.close()
    added = len(jobs) - failed
    print(
        f"{added} scenes added to {arguments.out}, which had {len(wanted) - len(jobs)} of those "
        f"asked for; {failed} failed and were left out"
    )
    return 0


def _wanted(arguments: argparse.Namespace) -> list[tuple[str, int]]:
    """Pairs of task and seed that are asked for."""
    return [
        *plan(arguments.episodes, arguments.seed),
        *_one_by_one(arguments.moments, arguments.seed + FIRST_MOMENT),
        *_one_by_one(arguments.corrections, arguments.seed + FIRST_CORRECTION),
    ]


def _missing(
    wanted: list[tuple[str, int]], first_seed: int, recorded: Set[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Those of `wanted` that are not yet `recorded`; a moment counts for whatever task."""
    scenes = {seed for _, seed in recorded}
    return [
        job
        for job in wanted
        if (job not in recorded if job[1] < first_seed + FIRST_MOMENT else job[1] not in scenes)
    ]


def _one_by_one(scenes: int, first_seed: int) -> list[tuple[str, int]]:
    """As `plan`, every scene with a seed of its own: it is recorded for other tasks, too."""
    tasks = [task for task, _ in plan(scenes, first_seed)]
    return [(task, first_seed + index) for index, task in enumerate(tasks)]


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
    """`episodes` pairs of task and seed, the tasks mixed in their shares."""
    jobs = [
        ((index + 0.5) / count, task, first_seed + index)
        for task, count in _counts(episodes).items()
        for index in range(count)
    ]
    return [(task, seed) for _, task, seed in sorted(jobs)]


def _counts(episodes: int) -> dict[str, int]:
    """Episodes of each task: its share, rounded so that they add up."""
    counts = {task: int(share * episodes) for task, share in _SHARES.items()}
    lacking = sorted(_SHARES, key=lambda task: counts[task] - _SHARES[task] * episodes)
    for task in lacking[: episodes - sum(counts.values())]:
        counts[task] += 1
    return counts


class _Recorder:
    """Worlds, and what a process needs to record in them."""

    def __init__(self, robot_path: Path, first_seed: int, checkpoint: Path | None) -> None:
        self._worlds: dict[str, TabletopSim] = {}
        self._robot = load_robot(robot_path)
        self._first_seed, self._checkpoint = first_seed, checkpoint
        self._policy: Policy | None = None

    def record(self, job: tuple[str, int]) -> list[EpisodeData]:
        """What is wanted of the scene of a task and seed; nothing when that failed."""
        task, seed = job
        if seed >= self._first_seed + FIRST_CORRECTION:
            world = self._world(draw_disturbance(task, seed, CORRECTION_SHARES))
            return record_corrections(world, self._robot, self._load_policy(), task, seed)
        world = self._world(draw_disturbance(task, seed, DEMONSTRATION_SHARES))
        if seed >= self._first_seed + FIRST_MOMENT:
            return record_moments(world, self._robot, task, seed)
        episode = record_demonstration(world, self._robot, task, seed)
        return [] if episode is None else [episode]

    def _world(self, disturbance: str) -> TabletopSim:
        if disturbance not in self._worlds:
            self._worlds[disturbance] = TabletopSim(disturbance=disturbance)
        return self._worlds[disturbance]

    def _load_policy(self) -> Policy:
        if self._policy is None:
            from vla_ros.policy.check import check_fits
            from vla_ros.policy.vla_policy import VLAPolicy

            folder = self._checkpoint or share_path("checkpoints/tabletop")
            self._policy = VLAPolicy.load(folder, threads=1)
            check_fits(self._policy.spec, self._robot)
        return self._policy


def _make_recorder(
    robot_path: Path, first_seed: int, checkpoint: Path | None
) -> Callable[[tuple[str, int]], list[EpisodeData]]:
    return _Recorder(robot_path, first_seed, checkpoint).record
