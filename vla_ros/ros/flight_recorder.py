"""The last seconds before a fault, kept in memory and written to an MCAP file.

Pictures are not kept; their ages are in every tick. The tick only appends to a queue; messages are
made and written in a thread of their own.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from vla_ros.datatypes import ActionChunk, RobotState
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.flight_messages import FlightMessages, Recorded
from vla_ros.ros.mcap_file import write_mcap
from vla_ros.runtime import ControlLoop, Tick

KEPT_S = 30.0
_FILES_KEPT = 20
_PATTERN = "vla_flight_*.mcap"


def default_folder() -> Path:
    """Where ROS keeps what it writes."""
    return Path(os.environ.get("ROS_HOME") or Path.home() / ".ros") / "vla_ros"


class FlightRecorder:
    """Notes every tick; writes on request, one file at a time.

    Attributes:
        folder: Where the files go; the newest 20 are kept.
    """

    def __init__(self, robot: RobotConfig, folder: Path, log: Callable[[str], None]) -> None:
        """Start with nothing noted.

        Args:
            robot: The arm.
            folder: Where the files go.
            log: Told where a file was written, or why not; called in the writing thread.
        """
        self.folder = folder
        self._messages = FlightMessages(robot)
        self._log = log
        # With the steady time it was noted at: the other one may be set back.
        self._kept: deque[tuple[int, Recorded]] = deque()
        self._state: RobotState | None = None
        self._chunk: ActionChunk | None = None
        self._instruction: str | None = None
        self._thread: threading.Thread | None = None

    def note(self, tick: Tick, loop: ControlLoop) -> None:
        """Note a tick, and what is new since the last one."""
        at_ns = time.time_ns()
        self._keep(at_ns, tick)
        if loop.measured is not None and loop.measured is not self._state:
            self._state = loop.measured
            self._keep(at_ns, self._state)
        if loop.chunk is not None and loop.chunk is not self._chunk:
            self._chunk = loop.chunk
            self._keep(at_ns, self._chunk)
        if loop.instruction != self._instruction:
            self._instruction = loop.instruction
            self._keep(at_ns, self._instruction or "")
        while self._kept[0][0] < time.monotonic_ns() - KEPT_S * 1e9:
            self._kept.popleft()

    def dump(self, why: str) -> Path | None:
        """Begin to write what is noted; `None` while an earlier file is still being written."""
        if self._thread is not None and self._thread.is_alive():
            return None
        path = self.folder / f"vla_flight_{datetime.now():%Y%m%d_%H%M%S_%f}_{why}.mcap"
        arguments = (path, [recorded for _, recorded in self._kept])
        self._thread = threading.Thread(
            target=self._write, args=arguments, name="vla-recorder", daemon=True
        )
        self._thread.start()
        return path

    def close(self, timeout_s: float = 1.0) -> None:
        """Wait for a file that is being written; a lifecycle manager waits 5 s for a clean-up."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _keep(self, at_ns: int, value: Tick | RobotState | ActionChunk | str) -> None:
        self._kept.append((time.monotonic_ns(), Recorded(at_ns=at_ns, value=value)))

    def _write(self, path: Path, kept: Iterable[Recorded]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mcap(path, self._messages.of(kept))
            for old in sorted(path.parent.glob(_PATTERN))[:-_FILES_KEPT]:
                old.unlink(missing_ok=True)
        except Exception as error:  # the edge of a thread: a full disk must not end the node
            self._log(f"the last {KEPT_S:g} s could not be written to {path}: {error}")
        else:
            self._log(f"the last {KEPT_S:g} s are in {path}")
