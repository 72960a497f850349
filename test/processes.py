"""Words about processes, for tests that start real ones."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import vla_ros

HERE = Path(__file__).parent


def write_policy_python(folder: Path) -> Path:
    """A program that takes the place of `policy_python`: see `fake_policy_python.py`."""
    path = folder / "policy_python"
    paths = [str(HERE), str(Path(vla_ros.__file__).parents[1])]
    code = f"import runpy, sys; sys.path[:0] = {paths}"
    fake = str(HERE / "fake_policy_python.py")
    path.write_text(f"#!{sys.executable}\n{code}\nrunpy.run_path({fake!r}, run_name='__main__')\n")
    path.chmod(0o755)
    return path


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def gone(pid: int) -> bool:
    """Whether the process has ended."""
    return not is_running(pid)


def until(reached: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Wait until `reached()`, or fail saying that `what` did not happen."""
    end_s = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < end_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)
