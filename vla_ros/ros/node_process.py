"""A ROS node of this package as a process: its environment, its log, its end.

Used by `stage.py`, which needs two of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import vla_ros
from vla_ros.errors import NodeError
from vla_ros.ros.dds_profile import PROFILE_VARIABLES
from vla_ros.share import share_path

# A node brings the arm to rest and ends within 1.7 s of the signal (shutdown.py).
_END_WITHIN_S = 5.0
_TAIL_LINES = 15
# Above this, the ports of a ROS domain are among those that Linux hands out to others.
_HIGHEST_DOMAIN = 101


class NodeProcess:
    """A running node; its words go to a file.

    Attributes:
        name: Name of the node.
        pid: Number of the process.
    """

    def __init__(self, name: str, module: str, parameters: Mapping[str, object], log: Path) -> None:
        """Start it, with the environment of this process.

        Args:
            name: Name of the node.
            module: Python module to run.
            parameters: ROS parameters.
            log: File for what it says.
        """
        self.name = name
        self._log = log
        command = [sys.executable, "-m", module, "--ros-args"]
        for key, value in parameters.items():
            # JSON is YAML, of which ROS reads values: text stays text whatever is in it.
            command += ["-p", f"{key}:={json.dumps(value)}"]
        with log.open("wb") as file:
            # A session of its own: a terminal's Ctrl-C must not reach it before we end it in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Return while it runs.

        Raises:
            NodeError: It ended; with its last words.
        """
        status = self._process.poll()
        if status is not None:
            raise NodeError(f"{self.name} ended with status {status}; {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        lines = self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        text = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
        return f"the end of its log:\n{text}"

    def end(self, within_s: float = _END_WITHIN_S) -> None:
        """Ask it to end, wait for `within_s`, and kill it when it has not ended then."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def prepare_environment() -> None:
    """Set what this process and the nodes it starts need; what the user has set stays.

    A ROS domain that nobody on this machine uses, no other machines, and shared memory that is
    large enough for pictures.
    """
    if "ROS_DOMAIN_ID" not in os.environ:
        os.environ["ROS_DOMAIN_ID"] = str(_free_domain())
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    profile = str(share_path("config/fastdds_shm.xml"))
    for name in PROFILE_VARIABLES:
        os.environ.setdefault(name, profile)
    # Where pictures are drawn without a GPU: more threads would only disturb the policy's.
    os.environ.setdefault("LP_NUM_THREADS", "1")
    # The nodes must be those of the code that starts them, whatever the current folder.
    home = str(Path(vla_ros.__file__).parents[1])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if home not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [home, *paths]))


def _free_domain() -> int:
    """A domain whose first port nobody holds (7410 + 250 × domain, DDSI-RTPS 9.6.1)."""
    for domain in random.sample(range(1, _HIGHEST_DOMAIN + 1), _HIGHEST_DOMAIN):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    raise NodeError("every ROS domain from 1 to 101 is in use; choose one with ROS_DOMAIN_ID")
