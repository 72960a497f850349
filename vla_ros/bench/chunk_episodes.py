"""Play episodes for `bench chunks`: a policy, a way to join its chunks, a delay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from vla_ros.bench.smoothness import Smoothness, SmoothnessMeter
from vla_ros.bench.synchronous import SynchronousWorker, synchronous
from vla_ros.learn.pool import work_off
from vla_ros.learn.rollout import run_episode
from vla_ros.policy.check import check_fits
from vla_ros.policy_protocol import Policy
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.runtime import InlineWorker, Worker
from vla_ros.sim.world import TabletopSim

SYNCHRONOUS = "synchronous"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One episode.

    Attributes:
        join: One of the robot file's ways to join chunks, or `SYNCHRONOUS`.
        latency_s: Simulated time of an inference.
        task: What is asked for.
        seed: Of the scene.
    """

    join: str
    latency_s: float
    task: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Played:
    """How an episode went."""

    success: bool
    smoothness: Smoothness


def play_all(
    checkpoint: Path, robot_file: Path, trials: Sequence[Trial], processes: int
) -> list[Played]:
    """Play all `trials` under a progress bar; the results are in their order.

    Raises:
        CheckpointError: The checkpoint is for another robot.
    """
    played = work_off(partial(_make_player, checkpoint, robot_file), trials, processes)
    return list(tqdm(played, total=len(trials), unit="episode", desc="chunks", mininterval=2))


def joined(robot: RobotConfig, join: str) -> RobotConfig:
    """The robot whose chunks join that way."""
    return replace(robot, chunks=replace(robot.chunks, join=join))


def _make_player(checkpoint: Path, robot_file: Path) -> Callable[[Trial], Played]:
    # Here, not above: a process of its own loads torch.
    from vla_ros.policy.vla_policy import VLAPolicy

    robot, world = load_robot(robot_file), TabletopSim()
    policy = VLAPolicy.load(checkpoint, threads=1)
    check_fits(policy.spec, robot)
    return partial(_play, world, policy, robot)


def _play(world: TabletopSim, policy: Policy, robot: RobotConfig, trial: Trial) -> Played:
    world.reset(seed=trial.seed, task=trial.task)
    meter = SmoothnessMeter(robot.tick_s, len(robot.joints))
    played: RobotConfig
    make_worker: Callable[[Policy, float], Worker]
    if trial.join == SYNCHRONOUS:
        played = synchronous(robot, trial.latency_s)
        make_worker = partial(SynchronousWorker, robot=robot)
    else:
        played, make_worker = joined(robot, trial.join), InlineWorker
    outcome = run_episode(
        world,
        policy,
        played,
        latency_s=trial.latency_s,
        make_worker=make_worker,
        on_step=meter.look,
    )
    return Played(success=outcome.success, smoothness=meter.result())
