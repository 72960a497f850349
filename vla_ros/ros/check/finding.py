"""One line of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found about one item.

    Attributes:
        level: How bad it is.
        item: What was looked at, such as `camera front`.
        text: What was found, and what to do when it is not in order.
    """

    level: Level
    item: str
    text: str

    def __str__(self) -> str:
        return f"{self.level.value:8} {self.item}: {self.text}"


def ok(item: str, text: str) -> Finding:
    """All is well."""
    return Finding(level=Level.OK, item=item, text=text)


def warning(item: str, text: str) -> Finding:
    """It runs, but not as well as it should."""
    return Finding(level=Level.WARNING, item=item, text=text)


def error(item: str, text: str) -> Finding:
    """It will not run, or run wrongly."""
    return Finding(level=Level.ERROR, item=item, text=text)


def or_ok(findings: Sequence[Finding], item: str, text: str) -> list[Finding]:
    """`findings`, or one that says all is well when there are none."""
    return list(findings) or [ok(item, text)]
