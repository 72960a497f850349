"""What every test shares; ROS tests first of all a domain of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

# For the helpers beside this file.
sys.path.insert(0, str(Path(__file__).parent))


def _own_domain() -> str:
    """A ROS domain for this pytest process, so that parallel runs and workers never meet.

    Domains above 101 need ports that Linux hands out to others.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    controller = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    given = os.environ.get("ROS_DOMAIN_ID")
    first = int(given) if given else 1 + controller % 96
    return str((first + worker) % 102)


# A shell that starts this in the background has Ctrl-C ignored, which children would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Before any test module imports rclpy, which reads these once.
os.environ["ROS_DOMAIN_ID"] = _own_domain()
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("MUJOCO_GL", "egl")
# What nodes write when a test makes them fault; logs go there too.
os.environ.setdefault("ROS_HOME", str(Path(tempfile.gettempdir()) / "vla_ros_test_home"))
os.environ.setdefault("LP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reactions", type=Path, help="JSON file for the measured reaction times")
    parser.addoption("--attacks", type=int, default=2000, help="targets of test_attack.py")


@pytest.fixture
def reaction(request: pytest.FixtureRequest, record_property: Callable) -> Callable:
    """Record how long the reaction took to the fault of the test's mark, and hold it to its bound.

    A test of several rows says which one.
    """
    from faults import REAL_TIME_SLACK_S

    marks = {mark.args[0]: mark.kwargs for mark in request.node.iter_markers("fault")}

    def record(seconds: float, row: int | None = None) -> None:
        row = next(iter(marks)) if row is None else row
        slack_s = REAL_TIME_SLACK_S if marks[row].get("real_time") else 1e-6
        assert seconds <= marks[row]["bound_s"] + slack_s, f"row {row} took {seconds:.3f} s"
        record_property(f"reaction {row}", seconds)

    return record


_REACTIONS: dict[str, dict[str, float]] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the reactions of passed tests, from all workers."""
    for name, seconds in report.user_properties:
        if name.startswith("reaction ") and report.when == "call" and report.passed:
            by_row = _REACTIONS.setdefault(report.nodeid.partition("[")[0], {})
            row = name.removeprefix("reaction ")
            by_row[row] = max(seconds, by_row.get(row, 0.0))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return
    path = session.config.getoption("--reactions")
    if path is not None:
        path.write_text(json.dumps(_REACTIONS, indent=1, sort_keys=True) + "\n")
    _clean_shared_memory()


def _clean_shared_memory() -> None:
    """Free what killed nodes left in /dev/shm: 33 MiB each, gigabytes after some runs."""
    tool = shutil.which("fastdds", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if tool is not None:  # it leaves alone what a living process has locked
        subprocess.run([tool, "shm", "clean"], stdout=subprocess.DEVNULL, check=False)


@pytest.fixture(scope="session")
def untrained_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of the Panda that was never trained: it moves the arm, to no purpose."""
    pytest.importorskip("torch")
    from untrained import write_untrained_checkpoint

    return write_untrained_checkpoint(tmp_path_factory.mktemp("untrained"))
