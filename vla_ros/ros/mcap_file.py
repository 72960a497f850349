"""Writes ROS messages to an MCAP file that Foxglove and `ros2 bag` open."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_path
from rclpy.serialization import serialize_message

from vla_ros.errors import NodeError

# After this many messages the writing thread lets the tick have the interpreter.
_BURST = 20
_PRIMITIVE = re.compile(r"^(bool|byte|char|w?string|u?int(8|16|32|64)|float(32|64))\b")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stamped:
    """A message, its topic, and when it was there, in wall time."""

    topic: str
    at_ns: int
    msg: Any


def write_mcap(path: Path, messages: Iterable[Stamped]) -> None:
    """Write a file; a half-written one never bears its name.

    Raises:
        NodeError: The package mcap is not installed.
        OSError: The file cannot be written.
    """
    try:
        from mcap.writer import Writer
    except ImportError as error:
        raise NodeError("MCAP files need the package mcap: pip install mcap") from error
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="ros2", library="vla_ros")
        channels: dict[str, int] = {}
        for count, stamped in enumerate(messages, start=1):
            if stamped.topic not in channels:
                channels[stamped.topic] = _channel(writer, stamped)
            writer.add_message(
                channel_id=channels[stamped.topic],
                log_time=stamped.at_ns,
                publish_time=stamped.at_ns,
                data=serialize_message(stamped.msg),
            )
            if count % _BURST == 0:
                time.sleep(0.0005)
        writer.finish()
    partial.replace(path)


def definition_of(kind: str) -> str:
    """The definition of a message type and of those it is made of, as MCAP's `ros2msg` wants it.

    Args:
        kind: For example `sensor_msgs/msg/JointState`.
    """
    found: dict[str, str] = {}
    _collect(kind, found)
    first, *others = found.items()
    parts = [first[1], *(f"MSG: {name.replace('/msg/', '/')}\n{text}" for name, text in others)]
    return f"\n{'=' * 80}\n".join(parts)


def _channel(writer: Any, stamped: Stamped) -> int:
    kind = type(stamped.msg)
    name = f"{kind.__module__.partition('.')[0]}/msg/{kind.__name__}"
    schema = writer.register_schema(
        name=name, encoding="ros2msg", data=definition_of(name).encode()
    )
    return int(
        writer.register_channel(topic=stamped.topic, message_encoding="cdr", schema_id=schema)
    )


def _collect(kind: str, found: dict[str, str]) -> None:
    package, _, name = kind.split("/")
    text = (get_package_share_path(package) / "msg" / f"{name}.msg").read_text(encoding="utf-8")
    found[kind] = text
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or _PRIMITIVE.match(words[0]):
            continue
        inner = words[0].partition("[")[0]
        inner_kind = _full(inner, package)
        if inner_kind not in found:
            _collect(inner_kind, found)


def _full(name: str, package: str) -> str:
    """`Header` and `std_msgs/Header` as `std_msgs/msg/Header`."""
    owner, slash, short = name.rpartition("/")
    return f"{owner if slash else package}/msg/{short}"
