"""Writes docs/faults.md: `python test/fault_table.py REACTIONS.json`, as `make faults` does."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from faults import FAULTS, REAL_TIME_SLACK_S, Binding, bindings, times_by_row
from guards import GUARDS

DOCUMENT = Path(__file__).parents[1] / "docs" / "faults.md"

_HEAD = """\
# Faults and what the node does

Written by `make faults` from the marks of the tests (`test/faults.py`); not by hand.

HOLD: the arm decelerates inside its limits and keeps the commanded pose; it resumes by itself when
the cause is gone. FAULT: the same, latched until `~/reset` or the next activation. Where the arm is
not where it was commanded to be or does not move, somebody else commands it, or nobody listens, the
node is silent once the motion it commands has ended, whatever it holds for: the arm must not jump
back when it can move again. Each has a name in `~/status`, and a sentence that says which input or
limit, and by how much. T is one control period, 0.01 s in the tests. The bounds are defaults; those
in code type are keys of the robot file or parameters.

"Measured" is the longest reaction that the tests saw in the run that wrote this page: of those with
an exact clock where a row has such, else of those in real time, which allow {slack:g} s more on a
busy machine. 0 is the tick in which the cause arrives. "—" is a row whose tests look at what
happens, not at when. The emergency stop is software and no
safety function.

| # | fault | reaction | bound | measured | tests |
|---|---|---|---|---|---|
"""

_GUARDS_HEAD = """
## Guards taken out

`make guards` takes out each of them (`test/guards.py`) and sees the tests turn red.

| guard | tests that turned red |
|---|---|
"""


def document(times_s: dict[int, float]) -> str:
    """The page; `times_s` are the measured reactions by row."""
    by_row: dict[int, list[Binding]] = {row: [] for row in FAULTS}
    for binding in bindings():
        by_row[binding.row].append(binding)
    lines = [
        f"| {row} | {fault.name} | {fault.reaction} | {fault.bound} | "
        f"{_time(times_s.get(row))} | {_names(by_row[row])} |"
        for row, fault in FAULTS.items()
    ]
    guards = [f"| {guard.name} | {_tests(guard.tests)} |" for guard in GUARDS]
    return "\n".join([_HEAD.format(slack=REAL_TIME_SLACK_S) + "\n".join(lines), _guards(guards)])


def times_of(text: str) -> dict[int, str]:
    """The measured column of a page, by row."""
    rows = re.findall(r"^\| (\d+) \|.*?\|.*?\|.*?\| (.*?) \|", text, re.MULTILINE)
    return {int(row): time for row, time in rows}


def without_times(text: str) -> str:
    """A page with its measured column emptied."""
    return re.sub(r"^(\| \d+ \|.*?\|.*?\|.*?\|) .*? \|", r"\1 |", text, flags=re.MULTILINE)


def _guards(lines: list[str]) -> str:
    return _GUARDS_HEAD + "\n".join(lines) + "\n"


def _time(seconds: float | None) -> str:
    return "—" if seconds is None else f"{seconds:.3f} s"


def _names(found: list[Binding]) -> str:
    return _tests(tuple(dict.fromkeys(binding.test for binding in found)))


def _tests(names: tuple[str, ...]) -> str:
    return "<br>".join(f"`{name.removeprefix('test/')}`" for name in names)


if __name__ == "__main__":
    measured = json.loads(Path(sys.argv[1]).read_text())
    DOCUMENT.write_text(document(times_by_row(measured)))
