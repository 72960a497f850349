"""Make `run.mcap` and its checkpoint anew: `python test/replay/make_run.py`.

Only needed when a change of the commands is meant, or the format of what is recorded changes. The
checkpoint is an untrained one of its own, so that training the shipped one changes nothing here.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "ros")]

from bag_recorder import BagRecorder, topics_of_run  # noqa: E402
from untrained import write_untrained_checkpoint  # noqa: E402

from vla_ros.robot_config import load_robot  # noqa: E402
from vla_ros.ros.node_process import NodeProcess, prepare_environment  # noqa: E402

ROBOT, CHECKPOINT, RUN = HERE / "panda.yaml", HERE / "checkpoint", HERE / "run.mcap"
CAMERAS = ("front", "wrist")
STATUS = "/vla_node/status"
_WITHIN_S = 300.0
_COMMANDS = 130
_SIM = {
    "robot_file": str(ROBOT),
    "publish_clock": True,
    "real_time_factor": 0.2,
    "camera_rate_hz": 10.0,
    "render_px": 96,
    "seed": 1000,
    "task": "open_drawer",
}
_VLA = {
    "robot_file": str(ROBOT),
    "checkpoint": str(CHECKPOINT),
    "policy": "in_process",
    "threads": 1,
    "use_sim_time": True,
    "autostart": True,
}


def main() -> None:
    """Let the simulated arm follow two instructions, and write what was said on the topics."""
    write_untrained_checkpoint(CHECKPOINT)
    prepare_environment()
    context = Context()
    rclpy.init(context=context)
    recorder = BagRecorder(topics_of_run(load_robot(ROBOT), CAMERAS), context)
    words = recorder.create_publisher(String, load_robot(ROBOT).instruction_topic, 1)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(recorder)
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            NodeProcess(name, f"vla_ros.ros.{name}", parameters, Path(folder) / name)
            for name, parameters in (("sim_node", _SIM), ("vla_node", _VLA))
        ]

        def until(reached: Callable[[], object]) -> None:
            end_s = time.monotonic() + _WITHIN_S
            while not reached():
                for process in processes:
                    process.check()
                if time.monotonic() > end_s:
                    raise SystemExit(processes[-1].last_words())
                executor.spin_once(timeout_sec=0.05)

        try:
            until(lambda: _status(recorder) == "waiting_for_instruction")
            # What the node acts on must be in the bag: begin some pictures before the instruction.
            recorder.kept.clear()
            until(lambda: recorder.count("/camera") >= 8 * len(CAMERAS))
            for number, text in enumerate(("open the drawer", "close the drawer"), start=1):
                words.publish(String(data=text))
                until(lambda n=number: recorder.count("/panda_arm_controller") > n * _COMMANDS)
        finally:
            for process in reversed(processes):
                process.end()
    print(recorder.write(RUN), RUN.stat().st_size, "bytes")


def _status(recorder: BagRecorder) -> str:
    msg: DiagnosticStatus | None = recorder.last(STATUS)
    return msg.values[0].value if msg else ""


if __name__ == "__main__":
    main()
