"""Several processes: in order, once each, and what goes wrong in one of them is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from pool_work import make_adder, make_killer, refuse, refuse_all

from vla_ros.errors import RobotFileError, SceneError, WorkerError
from vla_ros.learn.pool import work_off


def test_the_results_are_in_order_and_of_other_processes() -> None:
    results = list(work_off(partial(make_adder, 10), range(20), 2))
    assert [value for value, _ in results] == list(range(10, 30))
    pids = {pid for _, pid in results}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids


def test_what_prevents_the_beginning_is_told() -> None:
    with pytest.raises(SceneError, match="no such scene"):
        list(work_off(refuse, range(3), 2))


def test_all_the_problems_that_prevent_the_beginning_are_told() -> None:
    with pytest.raises(RobotFileError, match="no joints\n.*no limits") as caught:
        list(work_off(refuse_all, range(3), 2))
    assert caught.value.problems == ("no joints", "no limits")


def test_a_killed_process_ends_the_work() -> None:
    results = work_off(make_killer, range(3), 1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(WorkerError, match="killed"):
        next(results)


def test_the_processes_of_a_killed_command_end() -> None:
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).parents[1] / "long_work.py")],
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert int(command.stdout.readline()) != command.pid
        command.send_signal(signal.SIGKILL)
        jobs_done_after = len(command.stdout.readlines())  # until nobody has it open
    assert jobs_done_after < 20
