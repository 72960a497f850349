"""`demo`: two nodes as processes, instructions on a topic, a table and pictures of what happened.

Nothing here reads the simulator: the demo knows what a plain ROS client of the two nodes can know.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from vla_ros.demo.console import Console
from vla_ros.demo.pictures import write_film, write_stills
from vla_ros.demo.plan_picture import write_plans
from vla_ros.demo.report import table, verdict
from vla_ros.errors import ParameterError
from vla_ros.learn.rollout import TIME_LIMIT_S
from vla_ros.option_ranges import FROM_0, out_of_range
from vla_ros.output_paths import output_folder
from vla_ros.ros.stage import Cue, StageOptions, open_stage
from vla_ros.ros.take import Take
from vla_ros.share import share_path
from vla_ros.sim.tasks import check_task

# Scenes that no training has seen; each shows another way to move.
SCENES = (("open_drawer", 1000), ("push_object", 1000), ("close_drawer", 1000))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `demo`."""
    add = parser.add_argument
    add("--checkpoint", type=Path, help="folder of the checkpoint (default: the shipped one)")
    add("--robot", type=Path, help="robot file (default: config/panda.yaml)")
    add("--device", default="auto", help="where the policy computes: auto, cpu or cuda")
    add("--tasks", help=f"tasks with commas between (default: {','.join(t for t, _ in SCENES)})")
    add("--seed", type=int, help="seed of every scene (default: one of its own for each)")
    add(
        "--instruction",
        nargs="+",
        metavar="TEXT",
        help="words to use instead, for one task after another; {color}, {direction} and {place} "
        "stand for what the scene asks for, and success is judged by that",
    )
    add("--time-limit-s", type=float, default=TIME_LIMIT_S, help="simulated time of an episode")
    add(
        "--real-time-factor",
        type=float,
        default=1.0,
        help="simulated seconds a second; below 1 on a busy machine (default: 1)",
    )
    add(
        "--out",
        type=output_folder,
        default=Path("demo_output"),
        help="folder for film, stills and logs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play, tell, write; returns 1 when the policy moved nothing or never succeeded."""
    ranges = {"seed": FROM_0, "time_limit_s": (0.1, 600), "real_time_factor": (0.01, 100)}
    if problems := out_of_range(arguments, ranges):
        raise ParameterError("demo", problems)
    console = Console()
    takes = _play(_options(arguments), plan(arguments), arguments.time_limit_s, console)
    console.say("")
    console.say(table(takes))
    film, stills = arguments.out / "demo.mp4", arguments.out / "contact_sheet.png"
    plans = arguments.out / "plans.png"
    write_film(film, takes)
    write_stills(stills, takes)
    write_plans(plans, takes)
    console.say(f"What both cameras saw: {film} and {stills}. The longest plans: {plans}.")
    console.say(f"Logs of the nodes: {arguments.out}")
    problem = verdict(takes)
    if problem:
        console.say(f"The demo failed: {problem}")
    return 1 if problem else 0


def plan(arguments: argparse.Namespace) -> list[Cue]:
    """The episodes, as the options ask for.

    Raises:
        SceneError: A task that does not exist.
    """
    known = dict(SCENES)
    tasks = [task for task, _ in SCENES] if arguments.tasks is None else arguments.tasks.split(",")
    texts: Sequence[str | None] = arguments.instruction or [None]
    return [
        Cue(
            task=check_task(task),
            seed=known.get(task, SCENES[0][1]) if arguments.seed is None else arguments.seed,
            template=texts[index % len(texts)],
        )
        for index, task in enumerate(tasks)
    ]


def _options(arguments: argparse.Namespace) -> StageOptions:
    return StageOptions(
        checkpoint=arguments.checkpoint or share_path("checkpoints/tabletop"),
        robot=arguments.robot or share_path("config/panda.yaml"),
        device=arguments.device,
        real_time_factor=arguments.real_time_factor,
        with_pictures=True,
        log_dir=arguments.out,
    )


def _play(
    options: StageOptions, cues: Sequence[Cue], limit_s: float, console: Console
) -> list[Take]:
    """Play every cue with one pair of processes."""
    console.say("Starting the simulated robot (sim_node) and the policy (vla_node) ...")
    started_s, takes = time.monotonic(), []
    with open_stage(options) as stage:
        pids = " and ".join(f"{p.name} (process {p.pid})" for p in stage.processes)
        console.say(
            f"{pids} talk in ROS domain {os.environ['ROS_DOMAIN_ID']}, ready after "
            f"{time.monotonic() - started_s:.1f} s. The policy is {options.checkpoint}."
        )
        for number, cue in enumerate(cues, start=1):
            console.say("")
            console.say(f"Scene {number} of {len(cues)}: {cue.task}, seed {cue.seed}")
            take = stage.play(cue, limit_s, console.follow)
            console.tell_end(take)
            takes.append(take)
        console.say("\nThe arm comes to rest and both processes end ...")
    return takes
