"""How far the commands of a replay are from the recorded ones, topic by topic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.ros.replay_bag import Commands


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of one topic.

    Attributes:
        topic: Its name.
        commands: Number of recorded commands.
        missing: Number of them that the replay did not give at their tick.
        added: Number of commands that only the replay gave.
        largest: Largest difference of any number of two commands, in its own unit.
        where: Which number that was.
        at_s: Time of that command.
        first_s: Time of the first command that is missing, added or differs by more than the
            tolerance; `None` when there is none.
    """

    topic: str
    commands: int
    missing: int
    added: int
    largest: float
    where: str
    at_s: float
    first_s: float | None

    @property
    def is_same(self) -> bool:
        """Whether all commands are the same to the tolerance."""
        return self.first_s is None


def compare(
    recorded: Commands,
    replayed: Commands,
    topics: Sequence[str],
    stamps_s: Sequence[float],
    tolerance: float,
) -> list[Difference]:
    """Compare the commands of each tick.

    Args:
        recorded: What was commanded.
        replayed: What is commanded now.
        topics: Those to compare.
        stamps_s: Time of each tick.
        tolerance: Largest difference of two numbers that counts as the same [rad, m, rad/s …].
    """
    found = []
    for topic in topics:
        before, now = recorded.get(topic, {}), replayed.get(topic, {})
        apart = _Apart(tolerance)
        for number, stamp_s in enumerate(stamps_s):
            apart.add(before.get(number, []), now.get(number, []), stamp_s)
        found.append(apart.difference(topic))
    return found


class _Apart:
    """Gathers the differences of a topic."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._commands = self._missing = self._added = 0
        self._largest, self._where, self._at_s = 0.0, "", math.nan
        self._first_s: float | None = None

    def add(self, before: Sequence[Any], now: Sequence[Any], stamp_s: float) -> None:
        """Compare the commands of one tick."""
        self._commands += len(before)
        self._missing += max(0, len(before) - len(now))
        self._added += max(0, len(now) - len(before))
        is_apart = len(before) != len(now)
        for one, other in zip(before, now, strict=False):
            where, distance = _distance(one, other)
            if distance > self._largest:
                self._largest, self._where, self._at_s = distance, where, stamp_s
            is_apart = is_apart or distance > self._tolerance
        if is_apart and self._first_s is None:
            self._first_s = stamp_s

    def difference(self, topic: str) -> Difference:
        """What was gathered."""
        return Difference(
            topic=topic,
            commands=self._commands,
            missing=self._missing,
            added=self._added,
            largest=self._largest,
            where=self._where,
            at_s=self._at_s,
            first_s=self._first_s,
        )


def _distance(one: Any, other: Any) -> tuple[str, float]:
    """The number that differs most, and by how much; infinity when one has it alone."""
    left, right = dict(_numbers(one)), dict(_numbers(other))
    alone = left.keys() ^ right.keys()
    if alone:
        return min(alone), math.inf
    apart = {name: abs(left[name] - right[name]) for name in left}
    where = max(apart, key=apart.__getitem__, default="")
    return where, apart.get(where, 0.0)


def _numbers(msg: Any) -> Iterator[tuple[str, float]]:
    """What a command says, each number with its name."""
    match msg:
        case JointTrajectory():
            yield from _points(msg)
        case Float64MultiArray():
            yield from ((f"number {index}", value) for index, value in enumerate(msg.data))
        case TwistStamped():
            for part in ("linear", "angular"):
                vector = getattr(msg.twist, part)
                yield from ((f"{part}.{axis}", getattr(vector, axis)) for axis in "xyz")
        case PoseStamped():
            position, turn = msg.pose.position, msg.pose.orientation
            yield from ((f"position.{axis}", getattr(position, axis)) for axis in "xyz")
            yield from ((f"orientation.{axis}", getattr(turn, axis)) for axis in "xyzw")


def _points(msg: JointTrajectory) -> Iterator[tuple[str, float]]:
    for index, point in enumerate(msg.points):
        after = f" of point {index}" if index else ""
        due = point.time_from_start
        yield f"time{after}", due.sec + due.nanosec * 1e-9
        for what, values in (("position", point.positions), ("velocity", point.velocities)):
            for joint, value in zip(msg.joint_names, values, strict=False):
                yield f"{joint} {what}{after}", value
