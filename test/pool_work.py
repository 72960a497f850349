"""Work for the processes of test_pool.py: they must be able to import it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from vla_ros.errors import RobotFileError, SceneError


def make_adder(number: int) -> Callable[[int], tuple[int, int]]:
    return lambda job: (job + number, os.getpid())


def refuse() -> Callable[[int], int]:
    raise SceneError("no such scene")


def refuse_all() -> Callable[[int], int]:
    raise RobotFileError("arm.yaml", ["no joints", "no limits"])


def make_killer() -> Callable[[int], int]:
    def work(job: int) -> int:
        if job == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    return work


def make_sleeper() -> Callable[[int], int]:
    """Tells the process of a job before it is done."""

    def work(job: int) -> int:
        print(os.getpid(), flush=True)
        time.sleep(0.1)
        return job

    return work
