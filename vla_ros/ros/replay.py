"""`replay`: a recorded run goes through the node again, and its commands are compared.

`python -m vla_ros replay --bag FILE --robot FILE --checkpoint DIR` starts a `vla_node` on topics of
its own, gives it what the recorded one heard, tick by tick, and prints how far its commands are
from the recorded ones. Nothing is commanded. Exit status: 0 the same, 1 different, 2 an error.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vla_ros.errors import ParameterError
from vla_ros.output_paths import output_file, write_text
from vla_ros.policy.checkpoint import read_checkpoint
from vla_ros.robot_config import load_robot
from vla_ros.ros.replay_bag import Recording
from vla_ros.ros.replay_difference import Difference, compare
from vla_ros.ros.replay_node import STATUS
from vla_ros.ros.replay_run import replay
from vla_ros.ros.replay_topics import command_topics

_TOLERANCE = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `replay`."""
    add = parser.add_argument
    add("--bag", type=Path, required=True, help="MCAP file or rosbag2 folder of the run")
    add("--robot", type=Path, required=True, help="robot file that the run was made with")
    add("--checkpoint", type=Path, required=True, help="folder of the policy")
    add(
        "--tolerance",
        type=float,
        default=_TOLERANCE,
        help=f"what counts as the same [rad, m, rad/s] (default: {_TOLERANCE:g})",
    )
    add("--status", default=STATUS, help=f"topic of the recorded ticks (default: {STATUS})")
    add("--json", type=output_file, help="write the differences to this file, too")


def run(arguments: argparse.Namespace) -> int:
    """Replay, print and write; returns the exit status."""
    tolerance = arguments.tolerance
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ParameterError("replay", [f"--tolerance: got {tolerance}; valid: a number from 0"])
    robot = load_robot(arguments.robot)
    checkpoint = read_checkpoint(arguments.checkpoint)
    cameras = tuple(camera.name for camera in checkpoint.spec.cameras)
    recording = Recording(arguments.bag, robot, cameras, arguments.status)
    replayed = replay(recording, robot, arguments.checkpoint, cameras)
    stamps_s = [tick.stamp_s for tick in recording.ticks]
    topics = sorted(command_topics(robot))
    differences = compare(recording.commands, replayed, topics, stamps_s, tolerance)
    print(
        f"{arguments.bag.name}: {len(stamps_s)} ticks of {robot.robot}, "
        f"{len(recording.plans)} plans"
    )
    print(_weights(recording, checkpoint.weights_sha256))
    for name, count in recording.lacking.items():
        if count:
            print(f"{name}: {count} message(s) that the node had are not in the bag")
    for one in differences:
        print(_line(one))
    is_same = all(one.is_same for one in differences)
    print(f"the commands are {'the same' if is_same else 'NOT the same'}, tolerance {tolerance:g}")
    if arguments.json:
        write_text(arguments.json, _as_json(differences, is_same, tolerance))
    return 0 if is_same else 1


def _weights(recording: Recording, digest: str) -> str:
    """Whether the weights are those that were recorded."""
    recorded = next((tick.weights for tick in reversed(recording.ticks) if tick.weights), "")
    if not recorded:
        return "weights: the recording does not tell them"
    if digest.startswith(recorded):
        return f"weights: {recorded}, those of the recording"
    return f"weights: {digest[: len(recorded)]}; recorded with others, {recorded}"


def _line(one: Difference) -> str:
    if not one.commands and not one.added:
        return f"{one.topic}: no commands"
    parts = [f"{one.commands} commands"]
    parts += [f"{one.missing} missing"] if one.missing else []
    parts += [f"{one.added} added"] if one.added else []
    if one.where:
        parts.append(f"largest difference {one.largest:.2g} ({one.where}, at {one.at_s:.3f} s)")
    else:
        parts.append("no difference")
    parts += [] if one.is_same else [f"first at {one.first_s:.3f} s"]
    return f"{one.topic}: {', '.join(parts)}"


def _as_json(differences: Sequence[Difference], is_same: bool, tolerance: float) -> str:
    topics = [{**asdict(one), "is_same": one.is_same} for one in differences]
    return json.dumps({"is_same": is_same, "tolerance": tolerance, "topics": topics}, indent=1)
