"""Success and smoothness of each way to join chunks, by the policy's delay.

`python -m vla_ros bench chunks [--checkpoint DIR] [--episodes N] [--seed N] [--json FILE]
[--plot FILE]`

The baseline is synchronous execution on the same scenes with the same delay: the arm stands while
the policy computes, for 50 ms at least, then plays `execute_s` of the plan. The
delay is simulated; how fast this machine is does not matter. `blend` and `rtc` fade what is left of
a disagreement out, so their jump at a seam is zero as long as the plan before has not ended; the
kink and the jerk tell the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_ros.bench.chunk_episodes import SYNCHRONOUS, Played, Trial, joined, play_all
from vla_ros.bench.report import add_output_arguments, machine, write_report
from vla_ros.bench.smoothness import together
from vla_ros.errors import ParameterError
from vla_ros.learn.scores import wilson_interval
from vla_ros.option_ranges import FROM_0, FROM_1, out_of_range
from vla_ros.policy.check import find_misfits
from vla_ros.policy.checkpoint import read_spec
from vla_ros.robot_config import JOINS, load_robot
from vla_ros.share import share_path
from vla_ros.sim.tasks import TASKS, check_task

LATENCIES_MS = "0,50,100,200,300"
_LONGEST_MS = 2000
_RATIOS = ("jump_rad", "kink_rad_s", "jerk2_rad2_s6", "hold_share")

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--checkpoint", type=Path, help="folder of the checkpoint (default: the shipped one)")
    add("--robot", type=Path, help="robot file (default: config/panda.yaml)")
    add("--episodes", type=int, default=20, help="episodes of each task in each row (default: 20)")
    add("--seed", type=int, default=1000, help="seed of the first scene (default: 1000)")
    add("--tasks", help=f"tasks with commas between (default: {','.join(TASKS)})")
    add(
        "--latencies-ms",
        default=LATENCIES_MS,
        help=f"simulated times of an inference, with commas between (default: {LATENCIES_MS})",
    )
    add("--jobs", type=int, default=2, help="number of processes (default: 2)")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Play, print and write; returns the exit status."""
    latencies_ms, tasks = _checked(arguments)
    checkpoint = arguments.checkpoint or share_path("checkpoints/tabletop")
    robot_file = arguments.robot or share_path("config/panda.yaml")
    left_out = _left_out(checkpoint, robot_file)
    ways = [SYNCHRONOUS, *(join for join in JOINS if join not in left_out)]
    rows = [(way, ms) for ms in latencies_ms for way in ways]
    scenes = [(task, arguments.seed + i) for task in tasks for i in range(arguments.episodes)]
    trials = [
        Trial(join=way, latency_s=ms / 1e3, task=task, seed=seed)
        for way, ms in rows
        for task, seed in scenes
    ]
    played = play_all(checkpoint, robot_file, trials, arguments.jobs)
    size = len(scenes)
    results = {row: _summary(played[i * size : (i + 1) * size]) for i, row in enumerate(rows)}
    _compare(results)
    _show(results, left_out, size)
    report = {
        **machine(),
        "checkpoint": checkpoint.name,
        "seed": arguments.seed,
        "episodes_per_row": size,
        "tasks": tasks,
        "rows": [{"join": way, "latency_ms": ms, **row} for (way, ms), row in results.items()],
        "left_out": left_out,
    }
    write_report(arguments, report, {}, _lines(results, ways))
    return 0


def _checked(arguments: argparse.Namespace) -> tuple[list[float], list[str]]:
    """The latencies [ms] and the tasks.

    Raises:
        ParameterError: With all the options that are wrong.
        SceneError: There is no such task.
    """
    problems = []
    try:
        latencies_ms = list(dict.fromkeys(float(w) for w in arguments.latencies_ms.split(",")))
    except ValueError:
        latencies_ms = []
    if not latencies_ms or not all(0 <= ms <= _LONGEST_MS for ms in latencies_ms):
        problems.append(
            f"--latencies-ms: got {arguments.latencies_ms!r}; valid: numbers from 0 to "
            f"{_LONGEST_MS} with commas between"
        )
    problems += out_of_range(arguments, {"episodes": FROM_1, "seed": FROM_0, "jobs": FROM_1})
    if problems:
        raise ParameterError("bench chunks", problems)
    tasks = [check_task(task) for task in (arguments.tasks or ",".join(TASKS)).split(",")]
    return latencies_ms, tasks


def _left_out(checkpoint: Path, robot_file: Path) -> dict[str, str]:
    """The ways to join chunks that are not for this checkpoint, with the reason."""
    spec, robot = read_spec(checkpoint), load_robot(robot_file)
    plain = find_misfits(spec, joined(robot, "latest"))
    misfits = {join: find_misfits(spec, joined(robot, join)) for join in JOINS}
    return {
        join: "; ".join(text for text in found if text not in plain)
        for join, found in misfits.items()
        if len(found) > len(plain)
    }


def _summary(played: Sequence[Played]) -> Row:
    successes = sum(one.success for one in played)
    return {
        "success": successes / len(played),
        "interval": list(wilson_interval(successes, len(played))),
        **asdict(together([one.smoothness for one in played])),
    }


def _compare(results: Mapping[tuple[str, float], Row]) -> None:
    """Hold each row against the synchronous one with its delay, and against none at all."""
    ideal = min(ms for _, ms in results)
    for (_, ms), row in results.items():
        baseline = results[SYNCHRONOUS, ms]
        row["ratios"] = {
            name: row[name] / baseline[name] if baseline[name] else None for name in _RATIOS
        }
        row["points_lost"] = 100 * (results[SYNCHRONOUS, ideal]["success"] - row["success"])


def _show(results: Mapping[tuple[str, float], Row], left_out: Mapping[str, str], size: int) -> None:
    print(
        f"{size} episodes a row, the same scenes in all; in brackets, the ratio to synchronous "
        "execution with the same delay"
    )
    print(
        f"{'delay':>6}  {'join':11}  {'success':21}  {'largest jump':16}  {'largest kink':17}  "
        f"{'mean jerk^2':18}  time held"
    )
    for (way, ms), row in results.items():
        low, high = row["interval"]
        ratios = {
            name: f"({'-' if ratio is None else format(ratio, '.2f')})"
            for name, ratio in row["ratios"].items()
        }
        print(
            f"{ms:3.0f} ms  {way:11}  {row['success']:6.1%} ({low:.0%} - {high:.0%})".ljust(43)
            + f"  {1e3 * row['jump_rad']:5.1f} mrad {ratios['jump_rad']:6}"
            f"  {row['kink_rad_s']:5.2f} rad/s {ratios['kink_rad_s']:6}"
            f"  {row['jerk2_rad2_s6']:7.0f}    {ratios['jerk2_rad2_s6']:6}"
            f"   {row['hold_share']:6.1%} {ratios['hold_share']}"
        )
    for join, reason in left_out.items():
        print(f"{join} is left out: {reason}")


def _lines(
    results: Mapping[tuple[str, float], Row], ways: Sequence[str]
) -> dict[str, dict[str, dict[float, float]]]:
    titles = {
        "success": "success by delay [ms]",
        "jump_rad": "largest jump at a seam [rad]",
        "kink_rad_s": "largest kink at a seam [rad/s]",
        "jerk2_rad2_s6": "mean squared jerk [rad²/s⁶]",
        "hold_share": "share of time holding",
    }
    return {
        title: {
            way: {ms: row[name] for (found, ms), row in results.items() if found == way}
            for way in ways
        }
        for name, title in titles.items()
    }
