"""`check`: one line an item, ok, warning or error with what to do. Nothing moves.

Exit status: 0 when there is no error, 1 when there is one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from vla_ros.errors import ParameterError
from vla_ros.option_ranges import out_of_range
from vla_ros.policy.checkpoint import Checkpoint
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.check.files import check_checkpoint, check_robot_file
from vla_ros.ros.check.finding import Finding, Level

_LISTEN_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `check`."""
    add = parser.add_argument
    add("--robot", type=Path, required=True, help="robot file")
    add("--checkpoint", type=Path, help="folder of the policy")
    add("--no-ros", action="store_true", help="only the files, not the live graph")
    add(
        "--seconds",
        type=float,
        default=_LISTEN_S,
        help=f"how long to listen to the graph (default: {_LISTEN_S:g})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check, print a line an item and a summary; 1 when there is an error."""
    if problems := out_of_range(arguments, {"seconds": (0.1, 600)}):
        raise ParameterError("check", problems)
    count = dict.fromkeys(Level, 0)
    for finding in findings(arguments):
        count[finding.level] += 1
        print(finding, flush=True)
    errors, warnings = count[Level.ERROR], count[Level.WARNING]
    print(f"{count[Level.OK]} ok, {warnings} warning(s), {errors} error(s)")
    return 1 if errors else 0


def findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    """Everything that was found, as it is found."""
    found, robot = check_robot_file(arguments.robot)
    yield from found
    checkpoint = None
    if robot is not None and arguments.checkpoint is not None:
        found, checkpoint = check_checkpoint(arguments.checkpoint, robot)
        yield from found
    if robot is not None and not arguments.no_ros:
        yield from _live(robot, checkpoint, arguments.seconds)


def _live(robot: RobotConfig, checkpoint: Checkpoint | None, seconds: float) -> Iterator[Finding]:
    import rclpy
    from rclpy.context import Context
    from rclpy.signals import SignalHandlerOptions

    from vla_ros.ros.check.graph import check_graph

    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield from check_graph(robot, checkpoint, seconds, context)
    finally:
        context.try_shutdown()
