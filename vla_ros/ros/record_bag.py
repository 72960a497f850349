"""Episodes out of an MCAP file of rosbag2, by the robot file that recorded them would have used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from std_msgs.msg import String

from vla_ros.errors import DatasetError, ImageError, InstructionError, StateError, VlaError
from vla_ros.learn.demonstration import Demonstration
from vla_ros.learn.episode import EpisodeData
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.bag_file import read_messages
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

    def drop(self, topic: str, error: VlaError) -> None:
        """Count a message that cannot be used."""
        self.dropped += 1
        self.last_reason = f"{topic}: {error}"


def episodes_of(
    path: Path,
    robot: RobotConfig,
    demonstration: Demonstration,
    first_number: int,
    instruction: str,
    count: BagCount,
) -> Iterator[EpisodeData]:
    """The episodes of a bag: from each instruction to the next one, an empty one or the end.

    An episode begins when every camera has shown a picture: a recorder finds the joint states,
    which come more often, before the cameras.

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
    number, waiting = first_number, instruction
    if not instruction:
        takers[robot.instruction_topic] = Heard(
            topic=robot.instruction_topic,
            kind=String,
            take=lambda msg: check_instruction(msg.data),
        )
    needed = {robot.state.topic, *(camera.topic for camera in robot.cameras.values())}
    needed |= set() if instruction else {robot.instruction_topic}
    kinds = {topic: heard.kind for topic, heard in takers.items()}
    for recorded in read_messages(path, kinds, needed):
        topic = recorded.topic
        msg = recorded.decoded(kinds[topic])
        try:
            takers[topic].take(msg)
        except (ImageError, StateError, InstructionError) as error:
            count.drop(topic, error)
            continue
        if topic == robot.instruction_topic and not instruction:
            yield from (done := list(_finished(demonstration, number, waiting, count)))
            number += len(done)
            waiting = check_instruction(msg.data)
        if waiting and not demonstration.unseen:
            demonstration.begin(waiting)
            waiting = ""
    yield from _finished(demonstration, number, waiting, count)


def _finished(
    demonstration: Demonstration, number: int, waiting: str, count: BagCount
) -> Iterator[EpisodeData]:
    """The running episode, if there is one that can be used."""
    if waiting:
        count.refused.append(f"the episode is dropped: {demonstration.unseen}")
    if not demonstration.is_running:
        return
    try:
        yield demonstration.finish(number)
    except DatasetError as error:
        count.refused.append(str(error))
