"""Throws malformed messages at a node of its own process, at full rate, among sound ones.

`make fuzz` runs it with 20,000, the test of the same name with some. A message counts when the node
has refused it, which it tells in `/diagnostics`: best effort of depth 1 drops most on the way.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import conftest  # noqa: F401  (the environment of tests, before rclpy is imported)

import numpy as np
import rclpy
from fuzz_sender import Sender
from motion_audit import MotionAudit
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from robot_three import ROBOT_YAML, three_urdf
from ros_fakes import values

from vla_ros.robot_config import load_robot

HERE = Path(__file__).parent
CAMERAS = """
  wrist: {topic: /wrist/compressed, max_age_s: 0.5, transport: compressed}
  side: {topic: /side/image_raw, max_age_s: 0.5, rectify: true, camera_info: /side/camera_info}
state:"""
_START_WITHIN_S = 120.0
_CALLBACKS_A_ROUND = 4
_KINDS = ("running", "waiting", "hold", "fault")


@dataclass(kw_only=True)
class Findings:
    """What came of it.

    Attributes:
        sent, refused: Malformed messages by topic: sent, and refused by the node.
        hz_before, hz_during: Ticks a second.
        late_ms: From tick to tick, 99th percentile, while fuzzed.
        statuses: Number of ticks by kind of status, while fuzzed.
        problems: Why it has failed; empty when it has not.
    """

    sent: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    hz_before: float = 0.0
    hz_during: float = 0.0
    late_ms: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    audit: MotionAudit | None = None
    problems: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """For a person."""
        rows = [
            f"{topic:20} {count:7} sent {self.refused.get(topic, 0):7} refused"
            for topic, count in self.sent.items()
        ]
        refused, sent = sum(self.refused.values()), sum(self.sent.values())
        rows.append(f"malformed messages    {sent} sent, {refused} refused by the node")
        rows.append(
            f"ticks a second        {self.hz_before:.1f} before, {self.hz_during:.1f} meanwhile; "
            f"99 % within {self.late_ms:.1f} ms of the one before"
        )
        counts = ", ".join(f"{count} {kind}" for kind, count in self.statuses.items())
        rows.append(f"ticks                 {counts}")
        if self.audit is not None:
            rows.append(
                f"commands              {self.audit.commands}, {self.audit.travel_rad:.1f} rad of "
                f"motion, {sum(self.audit.exceeded.values())} outside a limit"
            )
        return "\n".join([*rows, *self.problems, "FAILED" if self.problems else "passed"])


class Fuzz:
    """A node's process and a sender, for one run."""

    def __init__(self, folder: Path, robot_yaml: str, urdf: str, seed: int) -> None:
        (folder / "three.urdf").write_text(urdf)
        robot_file = folder / "three.yaml"
        robot_file.write_text(robot_yaml.replace("\nstate:", CAMERAS))
        self._log = folder / "vla_node.log"
        self._node = _start(robot_file, self._log)
        self._context = Context()
        rclpy.init(context=self._context)
        self.audit = MotionAudit(load_robot(robot_file))
        self.sender = Sender(self._context, self.audit, seed)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.sender)

    def run(self, messages: int) -> Findings:
        """Fuzz until the node has refused that many messages."""
        found, sender = Findings(audit=self.audit), self.sender
        sender.play()
        self._until(lambda: sender.status() == "running", "running", _START_WITHIN_S)
        found.hz_before, _ = self._pace(lambda: self._spin(1.0))
        found.hz_during, found.late_ms = self._pace(lambda: self._attack(messages))
        statuses = [values(status)["status"] for status in sender.statuses]
        kinds = {kind: sum(s.startswith(kind) for s in statuses) for kind in _KINDS}
        found.statuses = kinds
        found.sent, found.refused = dict(sender.sent), sender.refused()
        self._until(lambda: sender.status() == "running", "running again", _START_WITHIN_S)
        found.problems = self._problems(found)
        return found

    def close(self) -> None:
        """End what is left."""
        self._executor.shutdown()
        self.sender.destroy_node()
        self._context.try_shutdown()
        self._node.kill()
        self._node.wait()

    def _attack(self, messages: int) -> None:
        # Four times what an idle machine takes.
        end_s = time.monotonic() + 60.0 + messages / 50
        while sum(self.sender.refused().values()) < messages and time.monotonic() < end_s:
            assert self._node.poll() is None, f"the node has ended: {self._last_words()}"
            self.sender.attack()
            for _ in range(_CALLBACKS_A_ROUND):
                self._executor.spin_once(timeout_sec=0.0)

    def _pace(self, act) -> tuple[float, float]:
        """Ticks a second while `act` goes on, and the 99th percentile of their distances [ms]."""
        self.sender.statuses.clear()
        act()
        stamps_s = [float(values(status)["stamp_s"]) for status in self.sender.statuses]
        apart_s = np.diff(stamps_s)
        return 1.0 / float(apart_s.mean()), float(np.quantile(apart_s, 0.99)) * 1e3

    def _problems(self, found: Findings) -> list[str]:
        self._node.send_signal(signal.SIGINT)
        status = self._node.wait(10)
        log = self._log.read_text(errors="replace")
        unheard = [topic for topic in found.sent if not found.refused.get(topic)]
        checks = {
            f"limits exceeded: {self.audit.examples}": bool(self.audit.examples),
            "the arm did not move: this run shows nothing": self.audit.travel_rad < 0.1,
            "the node never ran while it was fuzzed": not found.statuses["running"],
            f"nothing was refused on {', '.join(unheard)}": bool(unheard),
            f"ticks slowed down to {found.hz_during:.0f} a second": (
                found.hz_during < 0.5 * found.hz_before
            ),
            f"the node ended with status {status}": status != 0,
            f"unhandled:\n{log[log.find('Traceback') :][:3000]}": "Traceback" in log,
        }
        return [problem for problem, is_so in checks.items() if is_so]

    def _spin(self, duration_s: float) -> None:
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.02)

    def _until(self, reached, what: str, within_s: float) -> None:
        end_s = time.monotonic() + within_s
        while not reached():
            assert time.monotonic() < end_s, f"not {what}: {self._last_words()}"
            self._executor.spin_once(timeout_sec=0.05)

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-3000:]


def _start(robot_file: Path, log: Path) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "vla_process.py"), "three_cameras", "--ros-args"]
    command += ["-p", f"robot_file:={robot_file}", "-p", "checkpoint:=none"]
    command += ["-p", "autostart:=true"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file)


def main() -> int:
    """Run it as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000, help="to be refused by the node")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(Path(folder), ROBOT_YAML, three_urdf(), arguments.seed)
        try:
            found = fuzz.run(arguments.messages)
        finally:
            fuzz.close()
    sys.stdout.write(f"seed {arguments.seed}\n{found.summary()}\n")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
