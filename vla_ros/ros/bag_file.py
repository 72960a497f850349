"""Reads the messages of an MCAP file of rosbag2, for `record --bag` and `replay`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.serialization import deserialize_message

from vla_ros.errors import DatasetError, NodeError

_MAGIC = b"\x89MCAP0\r\n"
_CONVERT = "ros2 bag convert makes one of another bag"


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

    def decoded(self, kind: Any) -> Any:
        """The message, of type `kind`.

        Raises:
            DatasetError: It is no such message.
        """
        try:
            return deserialize_message(self.content, kind)
        except RuntimeError as error:  # what rclpy makes of an exception of the middleware
            raise DatasetError(
                f"a message on {self.topic} of the bag is no {kind.__name__}: it is damaged, or "
                "was compressed by itself (ros2 bag record --compression-mode message), which "
                f"ros2 bag convert undoes: {error}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One file of a bag: time of its first message, and type of its messages by topic."""

    file: Path
    start_ns: int
    types: Mapping[str, str]


def bag_files(path: Path) -> list[Path]:
    """The MCAP files of a bag, which may be a folder of rosbag2.

    Raises:
        DatasetError: There are none.
    """
    files = sorted(path.glob("*.mcap")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        valid = f"a .mcap file or a folder with some; {_CONVERT}"
        raise DatasetError(f"bag {path}: no MCAP file; valid: {valid}")
    return files


def read_messages(
    path: Path, kinds: Mapping[str, Any], needed: Set[str] = frozenset()
) -> Iterator[BagMessage]:
    """The messages of the topics of `kinds`, in the order in which they were recorded.

    Args:
        path: MCAP file, or folder of rosbag2, which may have split the bag into several.
        kinds: Type of the messages by topic.
        needed: Topics that must be there.

    Raises:
        DatasetError: The bag cannot be read, lacks a topic, or has it with another type.
        NodeError: The package mcap is not installed.
    """
    parts = [_part(file) for file in bag_files(path)]
    _check_topics(path, parts, kinds, needed)
    # By time: by name, file 10 of a bag comes before file 2.
    for part in sorted(parts, key=lambda part: part.start_ns):
        with _reader(part.file) as reader:
            for _, channel, message in reader.iter_messages(topics=list(kinds)):
                yield BagMessage(
                    topic=channel.topic, at_ns=message.publish_time, content=message.data
                )


@contextmanager
def _reader(file: Path) -> Iterator[Any]:
    """Open a file; what goes wrong while it is read becomes a DatasetError."""
    try:
        from mcap.reader import make_reader
    except ImportError as error:
        raise NodeError("MCAP files need the package mcap: pip install mcap") from error
    try:
        with file.open("rb") as stream:
            _check_ends(file, stream)
            yield make_reader(stream, validate_crcs=True)
    except DatasetError:
        raise
    except Exception as error:  # the edge: damaged bytes end in errors of mcap's decompressors, too
        reason = str(error) or "it is damaged"
        raise DatasetError(f"bag {file} cannot be read: {reason}") from error


def _check_ends(file: Path, stream: io.BufferedReader) -> None:
    """Refuse what is no MCAP file, and one whose recorder was killed."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise DatasetError(f"bag {file} is no MCAP file; {_CONVERT}")
    stream.seek(-len(_MAGIC), io.SEEK_END)
    if stream.read() != _MAGIC or stream.tell() < 2 * len(_MAGIC):
        raise DatasetError(_cut_short(file))
    stream.seek(0)


def _cut_short(file: Path) -> str:
    return f"bag {file} was cut short; repair it: mcap recover {file}"


def _part(file: Path) -> _Part:
    with _reader(file) as reader:
        summary = reader.get_summary()
        if summary is None:
            raise DatasetError(_cut_short(file))
        types = {
            channel.topic: summary.schemas[channel.schema_id].name
            for channel in summary.channels.values()
        }
        statistics = summary.statistics
        return _Part(
            file=file,
            start_ns=0 if statistics is None else statistics.message_start_time,
            types=types,
        )


def _check_topics(
    path: Path, parts: list[_Part], kinds: Mapping[str, Any], needed: Set[str]
) -> None:
    """Of all files together: what was said once is in one of them."""
    there = {topic: name for part in parts for topic, name in part.types.items()}
    problems = [f"{topic} is not in it" for topic in sorted(needed - there.keys())]
    for topic, kind in kinds.items():
        wanted = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
        if there.get(topic, wanted) != wanted:
            problems.append(f"{topic} is {there[topic]}, the robot file wants {wanted}")
    if problems:
        has = ", ".join(sorted(there)) or "nothing"
        raise DatasetError(f"bag {path}: {'; '.join(problems)}; it has: {has}")
