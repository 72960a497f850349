"""`make soak`: the simulated robot and `vla_node` over ROS, and a random fault every few seconds.

Ends with status 1 when a reaction was late, a limit exceeded, an exception unhandled, or the node
holds more than at the beginning.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from vla_ros.errors import NodeError
from vla_ros.output_paths import output_file, output_folder, write_text
from vla_ros.ros.node_process import prepare_environment
from vla_ros.share import share_path

if __name__ == "__main__":
    prepare_environment()

from process_meter import ProcessMeter
from soak_faults import FAULTS, Fault
from soak_report import LOCK_S, REAL_TIME_SLACK_S, RECOVER_WITHIN_S, Kind, Report
from soak_stage import SoakStage

INSTRUCTIONS = (
    "open the drawer",
    "close the drawer",
    "pick up the red block",
    "push the blue block to the left mark",
    "put the green block on the tray",
)
_START_WITHIN_S = 300.0
_REST_S = (1.0, 4.0)
_LASTS_S = (0.5, 2.0)
_HELP_AGAIN_S = 1.0
_WANTS_WORDS = ("waiting_for_instruction", "hold_no_instruction", "hold_bad_instruction")
_REACT_WITHIN_S = 5.0


class Soak:
    """One run on a stage that stands."""

    def __init__(self, stage: SoakStage, kinds: list[str], seed: int) -> None:
        self.report = Report(seed=seed)
        self.report.kinds = {name: Kind(bound_s=FAULTS[name].bound_s) for name in kinds}
        self._stage = stage
        self._rng = np.random.default_rng(seed)
        self._meter = ProcessMeter(stage.vla.pid)

    def run(self, duration_s: float) -> Report:
        """Inject faults for that long, and tell what happened."""
        try:
            self._resume(_START_WITHIN_S)
            begin_s = time.monotonic()
            while time.monotonic() < begin_s + duration_s:
                self._rest()
                self._inject(str(self._rng.choice(list(self.report.kinds))))
            self._rest()
            self.report.duration_s = time.monotonic() - begin_s
        except (NodeError, KeyboardInterrupt) as error:
            self.report.ended = str(error) or "interrupted"
        self._fill_in()
        return self.report

    def _rest(self) -> None:
        """Follow the policy for a while, now and then with other words."""
        if self._rng.random() < 0.5:
            self._stage.relay.say(str(self._rng.choice(INSTRUCTIONS)))
        self._stage.listen(self._rng.uniform(*_REST_S))
        self._resume(RECOVER_WITHIN_S)
        self._meter.look(time.monotonic())

    def _inject(self, name: str) -> None:
        fault, kind = FAULTS[name], self.report.kinds[name]
        kind.injected += 1
        self._stage.relay.heard.clear()
        begun_s = time.monotonic()
        fault.begin(self._stage)
        reaction_s = self._reaction_s(fault, begun_s)
        lock_s = self._lock_s(begun_s) if fault.may_lock else 0.0
        if self._is_overtaken(fault):
            kind.overtaken += 1
        elif reaction_s is None:
            kind.missed += 1
        else:
            kind.reactions_s.append(reaction_s - lock_s)
        if lock_s:
            kind.locks_s.append(lock_s)
        self._stage.listen(self._rng.uniform(*_LASTS_S))
        fault.end(self._stage)
        ended_s = time.monotonic()
        self._resume(RECOVER_WITHIN_S)
        kind.recoveries_s.append(time.monotonic() - ended_s)

    def _reaction_s(self, fault: Fault, begun_s: float) -> float | None:
        """When the node told it; `None` when it has not, long after the bound."""
        end_s = begun_s + fault.bound_s + REAL_TIME_SLACK_S + _REACT_WITHIN_S
        while time.monotonic() < end_s:
            self._stage.turn()
            for heard_s, status, _ in self._stage.relay.heard:
                if status in fault.statuses:
                    return heard_s - begun_s
        return None

    def _lock_s(self, begun_s: float) -> float:
        """How long the node told nothing since, if that is as long as a wait for a lock."""
        times_s = [begun_s, *(heard_s for heard_s, _, _ in self._stage.relay.heard)]
        silence_s = float(np.diff(times_s).max(initial=0.0))
        return silence_s if silence_s >= LOCK_S else 0.0

    def _is_overtaken(self, fault: Fault) -> bool:
        """Whether another fault was latched before the node told this one.

        A policy whose every plan is wild, as when the words name a block that is not there.
        """
        told = [status for _, status, _ in self._stage.relay.heard]
        first = next((i for i, status in enumerate(told) if status in fault.statuses), len(told))
        return any(status.startswith("fault_") for status in told[:first])

    def _resume(self, within_s: float) -> None:
        """Until the arm follows the policy.

        Raises:
            NodeError: It does not.
        """
        relay, helped_s = self._stage.relay, 0.0
        end_s = time.monotonic() + within_s
        while relay.status != "running":
            now_s = time.monotonic()
            if now_s > end_s:
                last = relay.heard[-1][1:] if relay.heard else "no status"
                raise NodeError(f"not running again within {within_s:g} s: {last}")
            if now_s - helped_s > _HELP_AGAIN_S:
                helped_s = now_s
                self._help()
            self._stage.turn()
        relay.heard[:-1] = []

    def _help(self) -> None:
        """What a person does: clear a fault, say what to do. Else the policy is left its time."""
        relay = self._stage.relay
        if relay.status.startswith("fault_"):
            self.report.resets += 1
            relay.reset()
        elif relay.status in _WANTS_WORDS:
            relay.say(str(self._rng.choice(INSTRUCTIONS)))

    def _fill_in(self) -> None:
        report, relay, meter = self.report, self._stage.relay, self._meter
        report.ticks = dict(relay.counts)
        report.commands, report.travel_rad = relay.audit.commands, relay.audit.travel_rad
        report.exceeded, report.examples = dict(relay.audit.exceeded), relay.audit.examples
        if meter.samples:
            first, last = meter.samples[0], meter.samples[-1]
            report.memory_mb = (first.memory_mb, last.memory_mb)
            report.descriptors = (first.descriptors, last.descriptors)
            report.threads = (first.threads, last.threads)
        report.memory_growth_mb_h = meter.growth_mb_h()
        report.descriptors_gained = meter.gained("descriptors")
        report.threads_gained = meter.gained("threads")


def main(argv: list[str] | None = None) -> int:
    """Run it; returns the exit status."""
    arguments = _arguments(argv)
    prepare_environment()
    folder = arguments.out or Path(tempfile.mkdtemp(prefix="vla_soak_"))
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [name for name in FAULTS if arguments.policy == "process" or "server" not in name]
    policy = {"policy": arguments.policy, "policy_python": arguments.policy_python}
    policy["checkpoint"] = str(arguments.checkpoint.resolve())
    with SoakStage(folder, arguments.camera_rate_hz, **policy) as stage:
        soak = Soak(stage, arguments.faults or kinds, arguments.seed)
        report = soak.run(60 * arguments.minutes)
    logs = [stage.log_of(name).read_text(errors="replace") for name in ("vla_node", "sim_node")]
    report.exceptions = sum(log.count("Traceback (most recent call last)") for log in logs)
    sys.stdout.write(f"{report.summary()}\nlogs and recordings: {folder}\n")
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(report.as_json(), indent=1) + "\n")
    return 1 if report.problems() else 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="how long")
    add("--seed", type=int, default=int(time.time()), help="of faults and words")
    add("--checkpoint", type=Path, default=share_path("checkpoints/tabletop"), help="the policy")
    add("--policy", default="process", choices=("process", "in_process"), help="where it computes")
    add("--policy-python", default="", help="Python of the policy's process (default: this one)")
    add("--camera-rate-hz", type=float, default=20.0, help="pictures a second of each camera")
    add("--faults", nargs="+", choices=list(FAULTS), help="only these kinds")
    add("--out", type=output_folder, help="folder for logs and recordings (default: a new one)")
    add("--json", type=output_file, help="file for the numbers")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
