"""What a bag tells of a run of `vla_node`: what it heard before each tick, and what it commanded.

The ticks are those of the node's `~/status`, which says how old each input was. So the replay gives
the node what it had, however the recorder's clock and the network shuffled the messages.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from vla_ros.errors import DatasetError
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.bag_file import BagMessage, read_messages
from vla_ros.ros.convert import seconds_from_stamp
from vla_ros.ros.replay_topics import command_topics, stamped_topics, unstamped_topics

ROUNDING_S = 5e-5
"""Ages in `~/status` have two digits of a millisecond, its times six digits of a second."""

_AGE, _CHUNK_AGE = "_age_ms", "chunk_age_ms"
# A message that came while a tick was computed is sent before that tick's status all the same.
_LATER_TICKS = 2


@dataclass(frozen=True, kw_only=True)
class RecordedTick:
    """A tick, as its status tells.

    Attributes:
        at_ns: When the status was sent, in wall time.
        stamp_s: Time of the tick, in the clock of the stamps.
        epoch: Rises with each instruction.
        chunk_start_s: Stamp of the observation behind the plan; `None` without a plan.
        newest_s: Stamp of the newest message of each input that had arrived.
        weights: First digits of the SHA-256 of the policy's weights; empty when not known.
    """

    at_ns: int
    stamp_s: float
    epoch: int
    chunk_start_s: float | None
    newest_s: dict[str, float]
    weights: str

    @staticmethod
    def of(at_ns: int, msg: DiagnosticStatus) -> RecordedTick:
        """Read a status."""
        said = {pair.key: pair.value for pair in msg.values}
        stamp_s = float(said["stamp_s"])
        ages = {
            key.removesuffix(_AGE): float(value) * 1e-3
            for key, value in said.items()
            if key.endswith(_AGE) and value
        }
        chunk_age_s = ages.pop(_CHUNK_AGE.removesuffix(_AGE), None)
        return RecordedTick(
            at_ns=at_ns,
            stamp_s=stamp_s,
            epoch=int(said["epoch"]),
            chunk_start_s=None if chunk_age_s is None else stamp_s - chunk_age_s,
            newest_s={name: stamp_s - age_s for name, age_s in ages.items()},
            weights=said.get("weights_sha256", ""),
        )


@dataclass(frozen=True, kw_only=True)
class RecordedPlan:
    """A plan that was followed: stamp of its observation, and the first tick that followed it."""

    start_s: float
    used_s: float


Commands = dict[str, dict[int, list[Any]]]
"""Messages by topic and by the number of the tick that sent them."""


class Recording:
    """A run of the node.

    Attributes:
        ticks: In order, without the last one, in the middle of which the recording may end.
        plans: In order.
        commands: What was commanded.
        lacking: Number of messages by input that the node had since its first plan, by its status,
            and the bag has not; filled by `due`.
    """

    def __init__(
        self, path: Path, robot: RobotConfig, cameras: tuple[str, ...], status_topic: str
    ) -> None:
        """Read all but pictures and joint states, which `due` reads on the way.

        Args:
            path: MCAP file, or folder of rosbag2.
            robot: The arm.
            cameras: Those that the policy looks through.
            status_topic: Of the node that was recorded.

        Raises:
            DatasetError: The bag cannot be read, lacks a topic, or does not begin before the arm
                was commanded.
            NodeError: The package mcap is not installed.
        """
        stamped = stamped_topics(robot, cameras)
        commands, others = command_topics(robot), unstamped_topics(robot, cameras)
        needed = {status_topic, robot.instruction_topic, *commands}
        needed |= {topic for topic, _ in stamped.values()}
        kinds = {status_topic: DiagnosticStatus, **commands, **others}
        messages = sorted(read_messages(path, kinds, needed), key=lambda one: one.at_ns)
        self.ticks = _ticks(path, [one for one in messages if one.topic == status_topic])
        self.plans = _plans(self.ticks)
        at_ns = [tick.at_ns for tick in self.ticks]
        sent = [
            (one.topic, one.at_ns, one.decoded(commands[one.topic]))
            for one in messages
            if one.topic in commands
        ]
        self.commands = by_tick(sent, at_ns)
        commanded = any(numbers.keys() & {0, 1} for numbers in self.commands.values())
        if self.ticks[0].chunk_start_s is not None or commanded:
            raise DatasetError(
                f"bag {path}: the arm was commanded from the first tick on, and what moved it "
                "before is not known; begin to record before the instruction is given"
            )
        self.lacking: Counter[str] = Counter()
        self._others = self._by_tick_heard([one for one in messages if one.topic in others])
        self._feeds = {
            name: _Feed(topic, kind, read_messages(path, {topic: kind}))
            for name, (topic, kind) in stamped.items()
        }

    def due(self, number: int) -> Iterator[tuple[str, bytes]]:
        """Topic and content of what the node heard since the tick before; to be called in order."""
        tick, heard = self.ticks[number], []
        for name, stamp_s in tick.newest_s.items():
            if name in self._feeds:
                heard += self._feeds[name].until(stamp_s)
                if self.plans and tick.stamp_s >= self.plans[0].start_s:
                    self.lacking[name] += self._feeds[name].lacks(stamp_s)
        # The node may ask its policy as soon as it has a new picture of each camera.
        heard.sort(key=lambda one: one.stamp_s)
        yield from ((one.topic, one.content) for one in (*heard, *self._others[number]))

    def _by_tick_heard(self, messages: Sequence[BagMessage]) -> dict[int, list[BagMessage]]:
        """Messages without a stamp by the tick before which they were heard.

        One that was sent shortly before a tick may have been heard after it: an instruction was if
        its new epoch began at one of the next ticks.
        """
        at_ns = [tick.at_ns for tick in self.ticks]
        found = defaultdict(list)
        for message in messages:
            first = bisect_left(at_ns, message.at_ns)
            candidates = range(first, min(first + 1 + _LATER_TICKS, len(at_ns)))
            begins = [number for number in candidates if self._begins_epoch(number)]
            found[begins[0] if begins else first].append(message)
        return found

    def _begins_epoch(self, number: int) -> bool:
        return number > 0 and self.ticks[number].epoch > self.ticks[number - 1].epoch


def by_tick(sent: Sequence[tuple[str, int, Any]], at_ns: Sequence[int]) -> Commands:
    """Commands by topic and tick: each tick sends its commands, then its status.

    Args:
        sent: Topic, time [ns] and message.
        at_ns: When each tick's status was sent. What was sent after the last one is left out.
    """
    found: Commands = defaultdict(lambda: defaultdict(list))
    for topic, sent_ns, msg in sent:
        number = bisect_left(at_ns, sent_ns)
        if number < len(at_ns):
            found[topic][number].append(msg)
    return found


@dataclass(frozen=True, kw_only=True)
class _Stamped:
    """A message with a stamp."""

    stamp_s: float
    topic: str
    content: bytes


class _Feed:
    """Messages of one topic in the order of their stamps, read when they are needed."""

    def __init__(self, topic: str, kind: Any, messages: Iterator[BagMessage]) -> None:
        self._stamped = (
            _Stamped(
                stamp_s=seconds_from_stamp(one.decoded(kind).header.stamp),
                topic=topic,
                content=one.content,
            )
            for one in messages
        )
        self._next = next(self._stamped, None)
        self._last_s = -math.inf

    def until(self, stamp_s: float) -> Iterator[_Stamped]:
        """Those with a stamp of at most `stamp_s` that were not given yet."""
        while self._next is not None and self._next.stamp_s <= stamp_s + ROUNDING_S:
            self._last_s = self._next.stamp_s
            yield self._next
            self._next = next(self._stamped, None)

    def lacks(self, stamp_s: float) -> bool:
        """Whether there is no message with that stamp; told once."""
        is_lacking = self._last_s < stamp_s - ROUNDING_S
        self._last_s = max(self._last_s, stamp_s)
        return is_lacking


def _ticks(path: Path, statuses: Sequence[BagMessage]) -> list[RecordedTick]:
    ticks = [RecordedTick.of(one.at_ns, one.decoded(DiagnosticStatus)) for one in statuses]
    if len(ticks) < 2:
        raise DatasetError(f"bag {path}: vla_node did not tick in it, by its status")
    return ticks[:-1]


def _plans(ticks: Sequence[RecordedTick]) -> list[RecordedPlan]:
    plans: list[RecordedPlan] = []
    for tick in ticks:
        last_s = plans[-1].start_s if plans else -math.inf
        if tick.chunk_start_s is not None and tick.chunk_start_s > last_s + 2 * ROUNDING_S:
            plans.append(RecordedPlan(start_s=tick.chunk_start_s, used_s=tick.stamp_s))
    return plans
