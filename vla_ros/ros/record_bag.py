"""Episodes out of an MCAP file of rosbag2, by the robot file that recorded them would have used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message
from std_msgs.msg import String

from vla_ros.errors import DatasetError, ImageError, NodeError, StateError
from vla_ros.learn.demonstration import Demonstration
from vla_ros.learn.episode import EpisodeData
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.record_topics import Heard, heard_topics
from vla_ros.runtime.latest import check_instruction


@dataclass(kw_only=True)
class BagCount:
    """What became of a bag's messages and episodes.

    Attributes:
        dropped: Messages that could not be used, and why the last one could not.
        refused: Why each episode that is missing was dropped.
    """

    dropped: int
    last_reason: str
    refused: list[str]


def bag_files(path: Path) -> list[Path]:
    """The MCAP files of a bag, which may be a folder of rosbag2.

    Raises:
        DatasetError: There are none.
    """
    files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DatasetError(f"bag {path}: no MCAP file; valid: a .mcap file or a folder with some")
    return files


def episodes_of(
    path: Path,
    robot: RobotConfig,
    demonstration: Demonstration,
    first_number: int,
    instruction: str,
    count: BagCount,
) -> Iterator[EpisodeData]:
    """The episodes of a bag: from each instruction to the next one, an empty one or the end.

    Args:
        path: MCAP file, or folder of rosbag2.
        robot: The arm.
        demonstration: Collects the rows.
        first_number: Number of the first episode in the dataset.
        instruction: Of the whole bag as one episode; empty takes those that were said in it.
        count: Filled.

    Raises:
        DatasetError: The bag cannot be read, or lacks a topic.
        NodeError: The package mcap is not installed.
    """
    takers = {heard.topic: heard for heard in heard_topics(robot, demonstration)}
    number = first_number
    if instruction:
        demonstration.begin(instruction)
    else:
        takers[robot.instruction_topic] = Heard(
            topic=robot.instruction_topic, kind=String, take=lambda msg: None
        )
    needed = {robot.state.topic, *(camera.topic for camera in robot.cameras.values())}
    needed |= set() if instruction else {robot.instruction_topic}
    for topic, content in _messages(path, takers, needed):
        msg = deserialize_message(content, takers[topic].kind)
        if topic == robot.instruction_topic and not instruction:
            yield from (done := list(_finished(demonstration, number, count)))
            number += len(done)
            if text := check_instruction(msg.data):
                demonstration.begin(text)
            continue
        try:
            takers[topic].take(msg)
        except (ImageError, StateError) as error:
            count.dropped += 1
            count.last_reason = f"{topic}: {error}"
    yield from _finished(demonstration, number, count)


def _finished(demonstration: Demonstration, number: int, count: BagCount) -> Iterator[EpisodeData]:
    """The running episode, if there is one that can be used."""
    if not demonstration.is_running:
        return
    try:
        yield demonstration.finish(number)
    except DatasetError as error:
        count.refused.append(str(error))


def _messages(
    path: Path, takers: dict[str, Heard], needed: set[str]
) -> Iterator[tuple[str, bytes]]:
    """Topic and content of the messages of `takers`, in the order in which they were recorded."""
    try:
        from mcap.exceptions import McapError
        from mcap.reader import make_reader
    except ImportError as error:
        raise NodeError("MCAP files need the package mcap: pip install mcap") from error
    for file in bag_files(path):
        try:
            with file.open("rb") as stream:
                reader = make_reader(stream)
                _check_topics(file, reader, takers, needed)
                for _, channel, message in reader.iter_messages(topics=list(takers)):
                    yield channel.topic, message.data
        except (McapError, OSError, EOFError) as error:
            raise DatasetError(f"bag {file} cannot be read: {error}") from error


def _check_topics(file: Path, reader: Any, takers: dict[str, Heard], needed: set[str]) -> None:
    summary = reader.get_summary()
    if summary is None:
        raise DatasetError(f"bag {file} was cut short; repair it: mcap recover {file}")
    kinds = {
        channel.topic: summary.schemas[channel.schema_id].name
        for channel in summary.channels.values()
    }
    problems = [f"{topic} is not in it" for topic in sorted(needed - kinds.keys())]
    for topic, heard in takers.items():
        wanted = f"{heard.kind.__module__.partition('.')[0]}/msg/{heard.kind.__name__}"
        if kinds.get(topic, wanted) != wanted:
            problems.append(f"{topic} is {kinds[topic]}, the robot file wants {wanted}")
    if problems:
        has = ", ".join(sorted(kinds)) or "nothing"
        raise DatasetError(f"bag {file}: {'; '.join(problems)}; it has: {has}")
