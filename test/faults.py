"""The table of faults: what the node promises for each, and which tests show it.

A test says with `@pytest.mark.fault(row, bound_s=…)` which row it injects, and with the fixture
`reaction` how long the reaction took. `make faults` runs them and writes docs/faults.md.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REAL_TIME_SLACK_S = 1.0
"""What a test in real time allows beyond its bound, because the machine may be busy."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A row of the table."""

    name: str
    reaction: str
    bound: str


FAULTS: dict[int, Fault] = {
    row: Fault(name=name, reaction=reaction, bound=bound)
    for row, (name, reaction, bound) in enumerate(
        (
            ("a camera stops", "HOLD; resumes by itself", "`max_age_s` (0.5 s) + T"),
            ("a camera never came", "no command ever; the status names it", "—"),
            (
                "a camera is frozen (same stamp, or the same pixels while the arm moves) or black",
                "treated as stale: HOLD until it shows something else",
                "`max_age_s` + T, after `frozen_after_rad` (0.2 rad) of motion",
            ),
            ("joint states are stale", "HOLD; resumes by itself", "`max_age_s` (0.2 s) + T"),
            ("joint names are permuted or with extras", "same command, to the bit", "—"),
            (
                "a joint is missing, twice, without position, or NaN",
                "sample ignored; stale follows",
                "0.2 s + T",
            ),
            (
                "NaN or infinity in an action",
                "chunk discarded, HOLD; FAULT after 3 in a row; never published",
                "T",
            ),
            ("an action of a wrong shape, or none", "as row 7", "T"),
            ("inference raises", "HOLD, retry with back-off, FAULT after 3", "T"),
            (
                "inference is slower than planned",
                "the chunk plays on, then HOLD; overruns counted; ticks never queue up",
                "`expire_after_s` + T",
            ),
            (
                "inference hangs",
                "HOLD when the chunk expires, FAULT at 5 s; deactivation still answers",
                "5 s + T",
            ),
            (
                "the policy's process dies or its link drops",
                "HOLD, again with back-off; resumes with fresh data only",
                "T",
            ),
            ("the instruction is emptied", "HOLD; a new one starts a new epoch", "T"),
            (
                "an instruction is huge, or has control characters",
                "refused with the reason, HOLD until a valid one",
                "T",
            ),
            ("the clock jumps back", "inputs and chunk dropped, HOLD until fresh data", "T"),
            (
                "the clock stops",
                "HOLD by the watchdog, no burst when it goes on",
                "`clock_timeout_s` (0.5 s) + 0.1 s",
            ),
            (
                "an image of unknown encoding, wrong step or size, empty, big-endian",
                "dropped with a throttled warning; stale follows",
                "0.5 s + T",
            ),
            ("an image of enormous size", "refused before any copy; the tick goes on", "T / 2"),
            (
                "deactivation in motion",
                "decelerates, last hold, SUCCESS, then no message; late chunks dropped",
                "1 s, or a longer stop where the driver takes no path",
            ),
            (
                "SIGINT, SIGTERM",
                "as row 19, then exit 0",
                "2 s, or a longer stop where the driver takes no path",
            ),
            (
                "kill -9 of the node",
                "a driver with a command timeout stops the arm at a pose that was safe",
                "the driver's timeout (0.2 s)",
            ),
            (
                "somebody else publishes on our command topic",
                "HOLD with its name, before the first command too, silent once at rest; a killed "
                "node is listed for up to 20 s, then it resumes from the measured state",
                "0.2 s + T",
            ),
            (
                "nobody subscribes to our command, or the arm does not follow: it is elsewhere, or "
                "does not move at all, however slowly it is told to",
                "no command before somebody does; HOLD, silent once at rest; FAULT if it lasts "
                "(5 s; 3 s); it resumes from the measured state",
                "0.2 s + T; `within_s` (0.5 s) + T",
            ),
            (
                "limits changed while active, a parameter NaN or out of range",
                "refused with the reason; `speed_scale` may be lowered",
                "—",
            ),
            ("QoS that cannot match", "diagnostics ERROR with topic and policy", "1 s"),
            (
                "the emergency stop is pressed, or of a type that nobody hears; the deadman is "
                "released, or silent for 0.3 s",
                "FAULT, or HOLD with its type; HOLD until it is held again",
                "T; 0.3 s + T",
            ),
            (
                "a jump in the action, or a target outside limits or box",
                "shaped, clamped and counted; FAULT when every plan of 3 s is so",
                "3 s + one plan",
            ),
            (
                "the checkpoint is missing, corrupt, of another robot, or lacks statistics",
                "configure FAILS with the reason; the node lives",
                "—",
            ),
            (
                "activated while the arm moves, or outside its limits",
                "begins from the measured state; motion only inward; further outside: no command",
                "T",
            ),
            ("a subscriber of status or diagnostics is slow or gone", "no effect on the tick", "—"),
        ),
        start=1,
    )
}


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A test that injects the fault of a row."""

    row: int
    test: str
    bound_s: float | None
    real_time: bool


def bindings() -> list[Binding]:
    """What the tests' marks say, read from their source, in order of rows."""
    found = [binding for path in sorted(HERE.rglob("test_*.py")) for binding in _of(path)]
    return sorted(found, key=lambda binding: binding.row)


def _of(path: Path) -> Iterator[Binding]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            for mark in map(_fault_mark, node.decorator_list):
                if mark is not None:
                    values = {word.arg: ast.literal_eval(word.value) for word in mark.keywords}
                    yield Binding(
                        row=ast.literal_eval(mark.args[0]),
                        test=f"{path.relative_to(HERE.parent)}::{node.name}",
                        bound_s=values.get("bound_s"),
                        real_time=values.get("real_time", False),
                    )


def _fault_mark(node: ast.expr) -> ast.Call | None:
    is_mark = isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault"
    return node if is_mark else None


def times_by_row(measured: dict[str, dict[str, float]]) -> dict[int, float]:
    """The longest time of each row: of its tests with an exact clock, if it has such.

    Args:
        measured: By test, then by row.
    """
    exact: dict[int, list[float]] = defaultdict(list)
    real: dict[int, list[float]] = defaultdict(list)
    for binding in bindings():
        seconds = measured.get(binding.test, {}).get(str(binding.row))
        if seconds is not None:
            (real if binding.real_time else exact)[binding.row].append(seconds)
    return {row: max(values) for row, values in {**real, **exact}.items()}
