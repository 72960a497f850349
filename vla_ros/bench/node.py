"""Time the node at work: a real `vla_node` process beside its policy.

`python -m vla_ros bench node [--checkpoint DIR] [--seconds S] [--json FILE] [--plot FILE]`

The policy is asked for a plan from every picture (`busy`), in a process of its own and in the
node's. The baseline of each (`idle`) is the same node without an instruction, whose policy does
nothing; with `core taken` a process beside computes all the time with the priority of a policy
server, as one with a large model would; with `ordinary priority`, too, and the node's thread has no
real-time priority. Arm and cameras are pretended, in this process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vla_ros.bench.cores import core_times_s, ordinary_priority, taken_core
from vla_ros.bench.report import add_output_arguments, machine, print_table, write_report
from vla_ros.datatypes import FloatArray
from vla_ros.errors import NodeError, ParameterError
from vla_ros.option_ranges import out_of_range
from vla_ros.robot_config import RobotConfig, load_robot
from vla_ros.ros.interruption import Interruption
from vla_ros.ros.node_process import NodeProcess, prepare_environment
from vla_ros.ros.pretended_arm import PretendedArm, TickSeen, pretended_arm
from vla_ros.share import share_path

_POLICIES = ("process", "in_process")
_PHASES = ("idle", "busy", "core taken", "ordinary priority")
_WITHIN_S = 120.0
_SETTLE_S = 1.0
_WORDS = "open the drawer"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was seen of the node for some seconds.

    Attributes:
        ticks: Its ticks.
        shares: Of the time its main thread computed, and waited for a core.
    """

    ticks: list[TickSeen]
    shares: Mapping[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--policies", default=",".join(_POLICIES), help="where the policy lives, in turn")
    add("--robot", type=Path, help="robot file (default: config/panda.yaml)")
    add("--checkpoint", type=Path, help="folder of the policy (default: the shipped one)")
    add("--instruction", default=_WORDS, help=f"what it is told (default: {_WORDS})")
    add("--seconds", type=float, default=20.0, help="how long to measure each")
    add("--camera-hz", type=float, default=30.0, help="rate of the pretended cameras")
    add("--picture-px", type=int, default=224, help="height and width of their pictures")
    add("--threads", type=int, default=1, help="CPU threads of the policy")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and write; returns the exit status."""
    robot = load_robot(arguments.robot or share_path("config/panda.yaml"))
    _check(arguments, robot)
    policies = arguments.policies.split(",")
    report: dict[str, Any] = {**machine(), "tick_hz": robot.tick_hz}
    for policy in policies:
        seen = measure(arguments, robot, policy)
        report[policy] = {
            **{name: {**jitter(s.ticks, robot.tick_s), **s.shares} for name, s in seen.items()},
            "image_to_command": image_to_command(seen["busy"].ticks),
        }
        _print(policy, report[policy])
    report["ratios"] = _ratios(report, policies)
    for what, ratio in report["ratios"].items():
        print(f"p99 jitter with a core taken, {what}: {ratio:.2f} times")
    write_report(arguments, report, _bars(report, policies))
    return 0


def measure(arguments: argparse.Namespace, robot: RobotConfig, policy: str) -> dict[str, Seen]:
    """What was seen of a node that waits for an instruction, then follows it, by `_PHASES`.

    Raises:
        NodeError: The node ended, or does not come to run.
    """
    prepare_environment()
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parameters = {
            "robot_file": str(_eager(robot, folder)),
            "checkpoint": str(
                (arguments.checkpoint or share_path("checkpoints/tabletop")).resolve()
            ),
            "policy": policy,
            "device": "cpu",
            "threads": arguments.threads,
            "autostart": True,
            "recordings": str(folder),
        }
        node = NodeProcess("vla_node", "vla_ros.ros.vla_node", parameters, folder / "log")
        stack.callback(node.end)
        arm, spin = stack.enter_context(
            pretended_arm(robot, arguments.camera_hz, arguments.picture_px)
        )

        watch = _Watch(node, interruption, spin)
        watch.until(lambda: arm.status == "waiting_for_instruction", "the policy is loaded")
        idle = _ticks(arm, watch, arguments.seconds, node.pid)
        arm.say(arguments.instruction)
        watch.until(lambda: arm.status == "running", "the node follows the policy")
        busy = _ticks(arm, watch, arguments.seconds, node.pid)
        with taken_core():
            taken = _ticks(arm, watch, arguments.seconds, node.pid)
            with ordinary_priority(node.pid):
                ordinary = _ticks(arm, watch, arguments.seconds, node.pid)
        return dict(zip(_PHASES, (idle, busy, taken, ordinary), strict=True))


def _ticks(arm: PretendedArm, watch: _Watch, seconds: float, pid: int) -> Seen:
    """The ticks of some seconds, after one for which the machine settles."""
    watch.pass_time(_SETTLE_S)
    arm.ticks.clear()
    before_s = core_times_s(pid)
    watch.pass_time(seconds)
    computed, waited = (np.subtract(core_times_s(pid), before_s) / seconds).round(3).tolist()
    shares = {"share_computing": computed, "share_waiting_for_a_core": waited}
    return Seen(ticks=list(arm.ticks), shares=shares)


class _Watch:
    """Lets arm and node go on while the node lives and nobody interrupts."""

    def __init__(
        self, node: NodeProcess, interruption: Interruption, spin: Callable[[], None]
    ) -> None:
        self._node, self._interruption, self._spin = node, interruption, spin

    def until(self, reached: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + _WITHIN_S
        while not reached():
            self._go_on()
            if time.monotonic() > end_s:
                words = self._node.last_words()
                raise NodeError(f"waited {_WITHIN_S:g} s in vain until {what}; {words}")

    def pass_time(self, duration_s: float) -> None:
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._go_on()

    def _go_on(self) -> None:
        self._interruption.check()
        self._node.check()
        self._spin()


def _eager(robot: RobotConfig, folder: Path) -> Path:
    """A copy of the robot file that asks for the next plan as soon as the last one has come."""
    data = yaml.safe_load(robot.path.read_text(encoding="utf-8"))
    data["urdf"] = str(robot.urdf_path.resolve())
    expire_after_s = robot.chunks.expire_after_s
    data["chunks"] = {"execute_s": robot.tick_s, "blend_s": 0.0, "expire_after_s": expire_after_s}
    path = folder / robot.path.name
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def jitter(ticks: Sequence[TickSeen], period_s: float) -> dict[str, float]:
    """How far the time from tick to tick is from the period; how many ticks were left out."""
    apart_s = np.diff([tick.stamp_s for tick in ticks])
    off_ms = np.abs(apart_s - period_s) * 1e3
    return {
        "ticks": len(ticks),
        **_percentiles(off_ms),
        "max_ms": round(float(off_ms.max()), 3),
        "missed": int(np.maximum(np.round(apart_s / period_s) - 1, 0).sum()),
        "missed_by_more_than_a_period": int((apart_s > 2 * period_s).sum()),
    }


def image_to_command(ticks: Sequence[TickSeen]) -> dict[str, dict[str, float]]:
    """From a picture's stamp to the first command of a plan made of it, inference taken off.

    `rest` is the same from the joint state on that the plan was made of: its way to the node, its
    wait for the picture and the plan's for the next tick.
    """
    firsts = [
        tick
        for before, tick in pairwise(ticks)
        if abs((tick.stamp_s - before.stamp_s) * 1e3 - (tick.image_ms - before.image_ms)) > 1.0
        and np.isfinite([tick.image_ms, tick.inference_ms]).all()
    ]
    if not firsts:
        raise NodeError("no plan came while it was measured; take more --seconds")
    return {
        "cost": _percentiles(np.array([t.image_ms - t.inference_ms for t in firsts])),
        "rest": _percentiles(np.array([t.chunk_ms - t.inference_ms for t in firsts])),
        "inference": _percentiles(np.array([t.inference_ms for t in firsts])),
    }


def _percentiles(values_ms: FloatArray) -> dict[str, float]:
    p50, p99 = np.percentile(values_ms, [50, 99])
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}


def _print(policy: str, measured: dict[str, Any]) -> None:
    rows = {name: _jitter_line(measured[name]) for name in _PHASES}
    cost = measured["image_to_command"]
    rows["picture to command, without inference"] = _line(cost["cost"])
    rows["joint state to command, without inference"] = _line(cost["rest"])
    rows["inference"] = _line(cost["inference"])
    print_table(f"policy: {policy}", rows)


def _jitter_line(row: dict[str, float]) -> str:
    return (
        f"jitter {_line(row)}, max {row['max_ms']:.2f} ms; {row['missed']:.0f} of "
        f"{row['ticks']:.0f} ticks missed, {row['missed_by_more_than_a_period']:.0f} times more "
        f"than one; its thread computed {row['share_computing']:.1%}, waited for a core "
        f"{row['share_waiting_for_a_core']:.1%} of the time"
    )


def _line(row: dict[str, float]) -> str:
    return f"p50 {row['p50_ms']:.2f} ms, p99 {row['p99_ms']:.2f} ms"


def _ratios(report: Mapping[str, Any], policies: Sequence[str]) -> dict[str, float]:
    """How many times larger the jitter is without what keeps it small."""
    p99_ms = {(p, name): report[p][name]["p99_ms"] for p in policies for name in _PHASES}
    pairs = {
        "ordinary priority": (("process", "ordinary priority"), ("process", "core taken")),
        "policy in the node's process": (("in_process", "core taken"), ("process", "core taken")),
    }
    return {
        what: round(p99_ms[without] / p99_ms[usual], 3)
        for what, (without, usual) in pairs.items()
        if {without, usual} <= p99_ms.keys()
    }


def _bars(report: dict[str, Any], policies: Sequence[str]) -> dict[str, dict[str, float]]:
    return {
        "tick jitter p99 [ms]": {
            f"{policy}, {name}": report[policy][name]["p99_ms"]
            for policy in policies
            for name in _PHASES
        },
        "picture to command p99, without inference [ms]": {
            policy: report[policy]["image_to_command"]["cost"]["p99_ms"] for policy in policies
        },
    }


def _check(arguments: argparse.Namespace, robot: RobotConfig) -> None:
    """Refuse what cannot be measured.

    Raises:
        ParameterError: With all that is wrong.
    """
    ranges = {"seconds": (1, 600), "camera_hz": (1, 200), "picture_px": (16, 2048)}
    ranges["threads"] = (1, 256)
    problems = out_of_range(arguments, ranges)
    unknown = [name for name in arguments.policies.split(",") if name not in _POLICIES]
    if unknown:
        problems.append(f"--policies: got {', '.join(unknown)}; valid: {', '.join(_POLICIES)}")
    if robot.arm_sink.sink != "joint_trajectory":
        problems.append(
            f"--robot: {robot.path.name} has actions.arm.sink: {robot.arm_sink.sink}; the "
            "pretended arm follows joint_trajectory"
        )
    if problems:
        raise ParameterError("bench node", problems)
