"""A policy server as a child process, started again when it ends.

Its Python may be another one: another virtual environment, with torch. It runs the code of this
very package, and nothing leads it to this Python's other packages or to the current folder.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import vla_ros
from vla_ros.errors import PolicyServerError
from vla_ros.policy.client import ServerAddress

ANNOUNCEMENT = "serving at "
"""What the server writes in front of its address."""
API_KEY_VARIABLE = "VLA_ROS_API_KEY"

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 10.0
_SOUND_AFTER_S = 30.0
_END_WITHIN_S = 1.0
# Lower priority than the node that starts it: a tick that is due must not wait for a plan.
_NICENESS = 5
# Where packages of this Python are found, and a mark that keeps the ROS wheels' start-up hook from
# setting the library path of its own environment.
_OURS = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
# This package alone, from where it lies: its folder may be one of site-packages full of others.
_BOOTSTRAP = """
import sys
if sys.version_info < (3, 11):
    sys.exit("policy_python is Python " + sys.version.split()[0] + "; valid: 3.11 or newer")
sys.path[:] = [folder for folder in sys.path if folder]  # without the current one
import importlib.util, pathlib
folder = pathlib.Path(sys.argv.pop(1))
spec = importlib.util.spec_from_file_location(
    "vla_ros", folder / "__init__.py", submodule_search_locations=[str(folder)])
sys.modules["vla_ros"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from vla_ros.cli import main
sys.exit(main())
"""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what belongs to this Python alone."""
    return {name: value for name, value in environment.items() if name not in _OURS}


class ServerProcess:
    """Keeps a policy server running until `close`.

    Attributes:
        pid: Of the running process; `None` between two.
        starts: How often it was started.
    """

    def __init__(
        self,
        python: str,
        options: Sequence[str],
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Start it; `wait_until_ready` waits for it to serve.

        Args:
            python: Python to run it with.
            options: Options of `python -m vla_ros serve`.
            on_line: Called with each line it writes, in a thread.
        """
        self.pid: int | None = None
        self.starts = 0
        self._python = python
        folder = str(Path(vla_ros.__file__).resolve().parent)
        self._command = [python, "-c", _BOOTSTRAP, folder, "serve", "--host", "127.0.0.1"]
        self._command += ["--port", "0", "--end-with-stdin", "--nice", str(_NICENESS), *options]
        # Of the machine's other users, none may ask our server.
        self._key = secrets.token_hex(16)
        self._on_line = on_line
        self._last_line = ""
        self._uri: str | None = None
        self._trouble = ""
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep_running, name="vla-server", daemon=True)
        self._thread.start()

    def locate(self) -> ServerAddress:
        """Where it serves.

        Raises:
            PolicyServerError: It does not, now.
        """
        uri = self._uri
        if uri is None:
            raise PolicyServerError(f"the policy server {self._state()}")
        return ServerAddress(uri=uri, api_key=self._key)

    def wait_until_ready(self, timeout_s: float) -> None:
        """Return as soon as it serves for the first time.

        Raises:
            PolicyServerError: It ended instead, with its last words, or takes too long.
        """
        with self._changed:
            done = self._changed.wait_for(lambda: self._uri or self._trouble, timeout_s)
        if not done:
            raise PolicyServerError(f"the policy server is not ready after {timeout_s:g} s")
        if self._trouble:
            raise PolicyServerError(f"the policy server {self._trouble}")

    def restart(self) -> None:
        """End it, when it hangs; it is started again."""
        if self._process is not None:
            _kill(self._process)

    def close(self) -> None:
        """End it for good; blocks for a moment only. It has nothing to save."""
        self._closing.set()
        self.restart()
        self._thread.join(_END_WITHIN_S)

    def _state(self) -> str:
        if self.pid is None:
            return self._trouble or "is about to start"
        before = f": the one before {self._trouble}" if self._trouble else ""
        return f"is starting (process {self.pid}){before}"

    def _keep_running(self) -> None:
        delay_s = _FIRST_DELAY_S
        while not self._closing.is_set():
            started_s = time.monotonic()
            why = self._run_once()
            if time.monotonic() - started_s > _SOUND_AFTER_S:
                delay_s = _FIRST_DELAY_S
            self._tell(None, why)
            self._closing.wait(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)

    def _run_once(self) -> str:
        """Start it and read what it writes until it ends; returns how it ended."""
        self._last_line = ""
        try:
            process = subprocess.Popen(
                self._command,
                env=clean_environment(os.environ) | {API_KEY_VARIABLE: self._key},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # A terminal's Ctrl-C ends the node, which brings the arm to rest with the server.
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be started with {self._python}: {error.strerror} (policy_python)"
        self._process, self.pid = process, process.pid
        if self._closing.is_set():  # `close` came before there was a process
            _kill(process)
        self.starts += 1
        self._read(process)
        status, self.pid = process.wait(), None
        if process.stdin is not None:
            process.stdin.close()
        if status < 0:
            return f"(process {process.pid}) was killed by {signal.Signals(-status).name}"
        said = f"; its last words: {self._last_line}" if self._last_line else ""
        return f"(process {process.pid}) ended with status {status}{said}"

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # asked for above
        with process.stdout as lines:
            for line in lines:
                text = line.rstrip()
                if text.startswith(ANNOUNCEMENT):
                    self._tell(text.removeprefix(ANNOUNCEMENT), "")
                self._last_line = text or self._last_line
                self._on_line(text)

    def _tell(self, uri: str | None, trouble: str) -> None:
        with self._changed:
            self._uri, self._trouble = uri, trouble
            self._changed.notify_all()


def _kill(process: subprocess.Popen[str]) -> None:
    """End it with all that it started: a wrapper around a Python has one below it."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
