"""What every test shares; ROS tests first of all a domain of their own."""

from __future__ import annotations

import os
import signal
import sys
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
os.environ.setdefault("LP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def untrained_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of the Panda that was never trained: it moves the arm, to no purpose."""
    pytest.importorskip("torch")
    from untrained import write_untrained_checkpoint

    return write_untrained_checkpoint(tmp_path_factory.mktemp("untrained"))
