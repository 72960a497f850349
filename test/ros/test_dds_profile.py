"""The shipped Fast DDS profile, in real processes with the environment that commands give them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros.ros.dds_profile import PROFILE_VARIABLES
from vla_ros.ros.node_process import prepare_environment

PICTURES = 40
SHARED_MEMORY = Path("/dev/shm")
# A segment for each of the two processes, and some.
NEEDED_BYTES = 96 * 1024 * 1024


@pytest.mark.skipif(
    not SHARED_MEMORY.is_dir() or shutil.disk_usage(SHARED_MEMORY).free < NEEDED_BYTES,
    reason="/dev/shm has less than 96 MiB: start the container with --shm-size=1g",
)
def test_large_pictures_arrive_with_the_environment_that_commands_prepare(monkeypatch):
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # What is set below is taken back at the end.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setenv("ROS_DOMAIN_ID", "")
    del os.environ["ROS_DOMAIN_ID"]
    prepare_environment()
    assert _arrived() >= 0.9 * PICTURES


def _arrived() -> int:
    """How many best-effort pictures of 640 x 480 get from one process to another."""
    script = Path(__file__).with_name("big_pictures.py")
    result = subprocess.run(
        [sys.executable, str(script), str(PICTURES)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(result.stdout)
