"""`record`: what somebody does with an arm becomes the dataset that `train` reads.

`python -m vla_ros record --robot FILE --out DIR` listens to the robot until Ctrl-C; services start
and end the episodes (`record_node.py`). With `--bag` it reads recordings of rosbag2 instead.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from vla_ros.errors import ParameterError
from vla_ros.learn.dataset_writer import DatasetWriter
from vla_ros.learn.demonstration import Demonstration
from vla_ros.option_ranges import out_of_range
from vla_ros.output_paths import output_folder
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.runtime.latest import check_instruction

_log = logging.getLogger(__name__)
_FPS, _SIZE_PX = 10, 224


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `record`."""
    add = parser.add_argument
    add("--robot", type=Path, required=True, help="robot file")
    add(
        "--out",
        type=output_folder,
        required=True,
        help="folder of the dataset, new or begun earlier",
    )
    add("--instruction", default="", help="what is shown (default: what is said on the topic)")
    add("--fps", type=int, default=_FPS, help=f"rows a second (default: {_FPS})")
    add(
        "--size-px",
        type=int,
        default=_SIZE_PX,
        help=f"height and width of the pictures (default: {_SIZE_PX})",
    )
    add(
        "--bag",
        type=Path,
        nargs="+",
        help="convert these MCAP files or rosbag2 folders instead of listening",
    )


def run(arguments: argparse.Namespace) -> int:
    """Record until Ctrl-C, or convert; returns the exit status."""
    robot = load_robot(arguments.robot)
    instruction = check_instruction(arguments.instruction)
    _check(arguments)
    # One a bag: what was seen and commanded in one tells nothing about the next.
    demonstrations = partial(Demonstration, robot, arguments.fps, arguments.size_px)
    dataset = partial(open_dataset, arguments.out, robot, arguments.fps, arguments.size_px)
    if not arguments.bag:
        return _listen(robot, demonstrations(), dataset, instruction)
    with dataset() as writer:
        return _convert(arguments.bag, robot, demonstrations, writer, instruction)


def open_dataset(folder: Path, robot: RobotConfig, fps: int, size_px: int) -> DatasetWriter:
    """The dataset that a recording of `robot` is written to.

    Raises:
        DatasetError: The folder holds a dataset of another layout, or somebody is writing to it.
    """
    return DatasetWriter(
        folder,
        robot=robot.robot,
        fps=fps,
        cameras=tuple(robot.cameras),
        height_px=size_px,
        width_px=size_px,
        state_names=robot.action_names,
        action_names=robot.action_names,
        has_target=False,
    )


def _listen(
    robot: RobotConfig,
    demonstration: Demonstration,
    open_writer: Callable[[], DatasetWriter],
    instruction: str,
) -> int:
    from vla_ros.ros import shutdown
    from vla_ros.ros.record_node import RecordNode

    return shutdown.run(
        lambda: RecordNode(robot, demonstration, open_writer, instruction),
        RecordNode.finish,
        args=[],
        # It may be writing an episode.
        lets_callback_end=True,
    )


def _convert(
    bags: list[Path],
    robot: RobotConfig,
    demonstrations: Callable[[], Demonstration],
    writer: DatasetWriter,
    instruction: str,
) -> int:
    """Write each bag's episodes; 1 when one was dropped."""
    from vla_ros.ros.record_bag import BagCount, episodes_of

    is_whole = True
    for bag in bags:
        count = BagCount(dropped=0, last_reason="", refused=[])
        before = writer.episodes
        episodes = episodes_of(bag, robot, demonstrations(), before, instruction, count)
        for episode in episodes:
            writer.add(episode)
            writer.flush()
        _log.info("bag %s: %d episode(s)", bag, writer.episodes - before)
        for reason in count.refused:
            _log.error("bag %s: %s", bag, reason)
        if count.dropped:
            _log.warning("bag %s: %d messages dropped: %s", bag, count.dropped, count.last_reason)
        is_whole = is_whole and not count.refused and writer.episodes > before
    return 0 if is_whole else 1


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that make no dataset.

    Raises:
        ParameterError: With all that are wrong.
    """
    problems = out_of_range(arguments, {"fps": (1, 100), "size_px": (16, 1024)})
    if arguments.size_px % 2:
        problems.append(f"--size-px: got {arguments.size_px}; valid: an even number, for the video")
    if problems:
        raise ParameterError("record", problems)
