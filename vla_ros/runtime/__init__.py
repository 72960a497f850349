"""The control loop that runs on the robot and in evaluation: numpy and ruckig, no torch, no ROS.

`ControlLoop.step(now_s)` is the whole path of one tick; everything else here is one part of it.
"""

from vla_ros.runtime.latest import check_instruction
from vla_ros.runtime.loop import ControlLoop
from vla_ros.runtime.safety import SafetyFilter
from vla_ros.runtime.scheduler import ChunkScheduler
from vla_ros.runtime.shaper import Shaper
from vla_ros.runtime.tick import Counters, Tick
from vla_ros.runtime.worker import InlineWorker, ThreadWorker, Worker, WorkerError

__all__ = [
    "ChunkScheduler",
    "ControlLoop",
    "Counters",
    "InlineWorker",
    "SafetyFilter",
    "Shaper",
    "ThreadWorker",
    "Tick",
    "Worker",
    "WorkerError",
    "check_instruction",
]
