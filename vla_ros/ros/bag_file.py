"""Reads the messages of an MCAP file of rosbag2, for `record --bag` and `replay`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_ros.errors import DatasetError, NodeError


@dataclass(frozen=True, kw_only=True)
class BagMessage:
    """A message as it was recorded.

    Attributes:
        topic: Its topic.
        at_ns: When it was sent, in wall time; when it was recorded, where the bag does not tell.
        content: Serialised.
    """

    topic: str
    at_ns: int
    content: bytes


def bag_files(path: Path) -> list[Path]:
    """The MCAP files of a bag, which may be a folder of rosbag2.

    Raises:
        DatasetError: There are none.
    """
    files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DatasetError(f"bag {path}: no MCAP file; valid: a .mcap file or a folder with some")
    return files


def read_messages(
    path: Path, kinds: Mapping[str, Any], needed: Set[str] = frozenset()
) -> Iterator[BagMessage]:
    """The messages of the topics of `kinds`, in the order in which they were recorded.

    Args:
        path: MCAP file, or folder of rosbag2.
        kinds: Type of the messages by topic.
        needed: Topics that must be there.

    Raises:
        DatasetError: The bag cannot be read, lacks a topic, or has it with another type.
        NodeError: The package mcap is not installed.
    """
    try:
        from mcap.exceptions import McapError
        from mcap.reader import make_reader
    except ImportError as error:
        raise NodeError("MCAP files need the package mcap: pip install mcap") from error
    for file in bag_files(path):
        try:
            with file.open("rb") as stream:
                reader = make_reader(stream)
                _check_topics(file, reader, kinds, needed)
                for _, channel, message in reader.iter_messages(topics=list(kinds)):
                    yield BagMessage(
                        topic=channel.topic, at_ns=message.publish_time, content=message.data
                    )
        except (McapError, OSError, EOFError) as error:
            raise DatasetError(f"bag {file} cannot be read: {error}") from error


def _check_topics(file: Path, reader: Any, kinds: Mapping[str, Any], needed: Set[str]) -> None:
    summary = reader.get_summary()
    if summary is None:
        raise DatasetError(f"bag {file} was cut short; repair it: mcap recover {file}")
    there = {
        channel.topic: summary.schemas[channel.schema_id].name
        for channel in summary.channels.values()
    }
    problems = [f"{topic} is not in it" for topic in sorted(needed - there.keys())]
    for topic, kind in kinds.items():
        wanted = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
        if there.get(topic, wanted) != wanted:
            problems.append(f"{topic} is {there[topic]}, the robot file wants {wanted}")
    if problems:
        has = ", ".join(sorted(there)) or "nothing"
        raise DatasetError(f"bag {file}: {'; '.join(problems)}; it has: {has}")
