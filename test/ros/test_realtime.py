"""The thread that ticks goes first where it may, and says so; nothing that it starts does."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vla_ros.ros.node_process import NodeProcess

PR_CAPBSET_DROP, CAP_SYS_NICE = 24, 23  # linux/prctl.h, linux/capability.h
ASK = """
import os, subprocess, sys, threading
from vla_ros.ros.realtime import set_realtime_priority
trouble = set_realtime_priority(30)
own = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
others = []
thread = threading.Thread(target=lambda: others.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
child = "import os; print(os.sched_getscheduler(0))"
others.append(int(subprocess.check_output([sys.executable, "-c", child])))
print(trouble, own == os.SCHED_FIFO, os.sched_getparam(0).sched_priority, others, sep="|")
"""


def may_go_first() -> bool:
    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= 50


def answer(before: Callable[[], None] | None = None) -> list[str]:
    command = [sys.executable, "-c", ASK]
    return subprocess.check_output(command, text=True, preexec_fn=before).split("|")


def forbid() -> None:
    """From the next program on, nobody may, root neither."""
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE)


@pytest.mark.skipif(not may_go_first(), reason="this user may not have a real-time priority")
def test_the_calling_thread_goes_first_and_what_it_starts_does_not():
    trouble, is_first, priority, others = answer()
    assert (trouble, is_first, priority) == ("", "True", "30")
    assert others.strip() == f"[{os.SCHED_OTHER}, {os.SCHED_OTHER}]"


def test_a_user_who_may_not_is_told_how():
    trouble, is_first, priority, _ = answer(forbid)
    assert trouble.startswith("Operation not permitted; to have one, allow the user `rtprio 99`")
    assert (is_first, priority) == ("False", "0")


@pytest.mark.parametrize("priority", [50, 0])
def test_the_node_says_how_it_ticks(tmp_path: Path, priority: int):
    log = tmp_path / "log"
    parameters = {"realtime_priority": priority, "autostart": True}
    node = NodeProcess("vla_node", "vla_ros.ros.vla_node", parameters, log)
    try:
        end_s = time.monotonic() + 60
        while "robot_file: is not set" not in log.read_text():
            node.check()
            assert time.monotonic() < end_s, node.last_words()
            time.sleep(0.05)
        policy = os.sched_getscheduler(node.pid) & ~os.SCHED_RESET_ON_FORK
        found = re.findall(r"ticks (with\w*) real-time priority", log.read_text())
    finally:
        node.end()
    goes_first = bool(priority) and may_go_first()
    assert policy == (os.SCHED_FIFO if goes_first else os.SCHED_OTHER)
    assert found == (["with" if goes_first else "without"] if priority else [])
