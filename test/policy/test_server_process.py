"""The server as a child: real processes, of a Python that serves a policy without torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import gone, is_running, until, write_policy_python
from serving import SPEC, observe

from vla_ros.errors import PolicyServerError
from vla_ros.policy import messages
from vla_ros.policy.client import RemotePolicy
from vla_ros.policy.server_process import ServerProcess, clean_environment

READY_WITHIN_S = 60.0


def expect(spec):
    return spec, messages.keys_of(spec)


@pytest.fixture
def start(tmp_path: Path):
    servers = []

    def start(*options: str, python: str | None = None) -> ServerProcess:
        python = python or str(write_policy_python(tmp_path))
        lines: list[str] = []
        servers.append(ServerProcess(python, ["--checkpoint", "none", *options], lines.append))
        servers[-1].said = lines
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ready(server: ServerProcess) -> ServerProcess:
    server.wait_until_ready(READY_WITHIN_S)
    return server


def test_it_serves_on_this_machine_alone_to_who_has_its_key(start):
    server = ready(start())
    address = server.locate()
    assert address.uri.startswith("ws://127.0.0.1:")
    assert len(address.api_key) == 32
    policy = RemotePolicy(server, expect)
    assert policy.infer(observe()).actions.shape == (SPEC.horizon, 4)
    with pytest.raises(PolicyServerError, match="status 401"):
        RemotePolicy(_without_key(server), expect)
    policy.close()


def _without_key(server: ServerProcess):
    from vla_ros.policy.client import ForeignServer, ServerAddress

    return ForeignServer(address=ServerAddress(uri=server.locate().uri))


def test_it_gives_way_to_the_process_that_started_it(start):
    server = ready(start())
    wanted = min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)
    threads = [int(task.name) for task in Path(f"/proc/{server.pid}/task").iterdir()]
    found = [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads]
    assert os.getpriority(os.PRIO_PROCESS, server.pid) == wanted
    # The main thread, and those that plan and read; a BLAS may have started some before.
    assert found.count(wanted) >= 3


def test_it_is_started_again_when_it_was_killed_and_the_client_goes_on(start):
    server = ready(start())
    policy = RemotePolicy(server, expect)
    policy.infer(observe())
    first = server.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(PolicyServerError):
        policy.infer(observe())
    until(lambda: server.pid not in (None, first), "another process")
    with pytest.raises(PolicyServerError, match=f"{first}\\) was killed by SIGKILL"):
        server.locate()
    until(lambda: _serves(server), "it serves again")
    assert policy.infer(observe()).actions.shape == (SPEC.horizon, 4)
    assert server.starts == 2


def _serves(server: ServerProcess) -> bool:
    try:
        server.locate()
    except PolicyServerError:
        return False
    return True


def test_one_that_is_frozen_is_killed_and_started_again(start, caplog):
    server = ready(start())
    policy = RemotePolicy(server, expect)
    policy.infer(observe())
    first = server.pid
    os.kill(first, signal.SIGSTOP)
    # The first learns that the link is dead, the next that nobody greets.
    for _ in range(2):
        with pytest.raises(PolicyServerError):
            policy.infer(observe())
    until(lambda: gone(first), "the frozen one's end")
    until(lambda: server.pid not in (first, None) and _serves(server), "it serves again")
    assert policy.infer(observe()).actions.shape == (SPEC.horizon, 4)
    assert not [record for record in caplog.records if record.exc_info], "no traceback is logged"


def test_one_that_cannot_load_its_policy_says_why_and_is_tried_again_with_back_off(start):
    server = start("--checkpoint", "broken")
    with pytest.raises(PolicyServerError, match="ended with status 1; .* RuntimeError: it is bro"):
        server.wait_until_ready(READY_WITHIN_S)
    assert any("Traceback" in line for line in server.said)
    begin_s = time.monotonic()
    until(lambda: server.starts == 3, "the third start")
    assert time.monotonic() - begin_s > 0.5 + 1.0


def test_a_python_that_is_none_is_told(start):
    server = start(python="/nowhere/python")
    with pytest.raises(PolicyServerError, match=r"/nowhere/python: No such file .*policy_python"):
        server.wait_until_ready(READY_WITHIN_S)


def test_a_python_that_is_too_old_is_told(start, tmp_path):
    old = tmp_path / "python3.10"
    version = "sys.version, sys.version_info = '3.10.12 (main)', (3, 10)"
    code = f"import sys; {version}; exec(sys.argv[2])"
    old.write_text(f"#!{sys.executable}\n{code}\n")
    old.chmod(0o755)
    server = start(python=str(old))
    with pytest.raises(PolicyServerError, match=r"policy_python is Python 3\.10\.12; valid: 3\.11"):
        server.wait_until_ready(READY_WITHIN_S)


def test_close_leaves_no_process_behind_whatever_it_does(start):
    server = ready(start())
    os.kill(server.pid, signal.SIGSTOP)
    pid, begin_s = server.pid, time.monotonic()
    server.close()
    assert time.monotonic() - begin_s < 1.0
    assert gone(pid)
    # While it is being started.
    server = start()
    until(lambda: server.pid, "a process")
    pid = server.pid
    server.close()
    assert gone(pid)


def test_it_ends_when_the_process_that_started_it_is_killed(tmp_path):
    python = str(write_policy_python(tmp_path))
    code = (
        "import sys; from vla_ros.policy.server_process import ServerProcess\n"
        f"server = ServerProcess({python!r}, ['--checkpoint', 'none'])\n"
        "server.wait_until_ready(60); print(server.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(owner.stdout.readline())
    assert is_running(pid)
    owner.kill()
    owner.communicate()
    until(lambda: gone(pid), "the end of the server")


def test_nothing_of_this_pythons_packages_is_inherited(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    kept = clean_environment(os.environ)
    assert not {"PYTHONPATH", "LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"} & kept.keys()
    assert kept["PATH"] == os.environ["PATH"]
