"""Who has the cores: how long a thread waited for one, and a process that takes one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# As much as a policy server gives up of its priority: see `policy/server_process.py`.
_TAKE = "import os\nos.nice(5)\nwhile True: pass"


def core_times_s(pid: int) -> tuple[float, float]:
    """For how long the main thread of a process has computed, and waited to be let to a core.

    While it waited, others had the cores: of the same process or of the rest of the machine.
    """
    computed_ns, waited_ns, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return int(computed_ns) * 1e-9, int(waited_ns) * 1e-9


@contextmanager
def taken_core() -> Iterator[None]:
    """A process computes all the time meanwhile, with the priority of a policy server."""
    process = subprocess.Popen([sys.executable, "-c", _TAKE])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def ordinary_priority(pid: int) -> Iterator[None]:
    """The main thread of a process has no real-time priority meanwhile."""
    policy, priority = os.sched_getscheduler(pid), os.sched_getparam(pid)
    os.sched_setscheduler(pid, os.SCHED_OTHER | policy & os.SCHED_RESET_ON_FORK, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(pid, policy, priority)
