"""The policy in a child of the node: faults 11 and 12, with real processes and real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from processes import gone, until, write_policy_python
from ros_bench import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Bench, velocities
from ros_fakes import values

HERE = Path(__file__).parent


@pytest.fixture
def child(bench: Bench, described_checkpoint: Path, tmp_path: Path):
    """The bench with a node whose policy lives in a child without torch."""
    python = write_policy_python(tmp_path)
    bench.start_with(None, checkpoint=str(described_checkpoint), policy_python=str(python))
    yield bench
    bench.node.finish()


def server_pid(parent: int | None = None) -> int | None:
    """The policy server among the children of a process."""
    for task in Path(f"/proc/{parent or os.getpid()}/task").iterdir():
        for pid in (task / "children").read_text().split():
            if b"end-with-stdin" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return None


def moving(bench: Bench) -> bool:
    return bench.client.status() == "running" and np.abs(velocities(bench.client)[-1]).max() > 0.1


def at_rest(bench: Bench) -> bool:
    return np.abs(velocities(bench.client)[-1]).max() == 0.0


def quickly(bench: Bench, *transitions: int) -> None:
    """Transitions that succeed within half a second, whatever the policy does."""
    begin_s = time.monotonic()
    assert bench.change(*transitions)
    assert time.monotonic() - begin_s < 0.5


def test_the_status_names_the_weights_that_the_child_has_loaded(child: Bench):
    child.run()
    assert values(child.client.statuses[-1])["weights_sha256"] == "5eed5eed5eed"
    child.diagnostics(1)
    assert values(child.client.diagnostic("policy"))["weights_sha256"] == "5eed5eed5eed"


def test_the_child_computes_as_the_parameters_say(
    bench: Bench, described_checkpoint: Path, tmp_path: Path
):
    python = write_policy_python(tmp_path)
    options = {"device": "cpu", "precision": "int8", "threads": 3}
    bench.start_with(
        None, checkpoint=str(described_checkpoint), policy_python=str(python), **options
    )
    assert bench.change(CONFIGURE)
    until(server_pid, "the child")
    words = Path(f"/proc/{server_pid()}/cmdline").read_text().split("\0")
    said = dict(pairwise(words))
    assert {name: said[f"--{name}"] for name in options} == {
        name: str(value) for name, value in options.items()
    }
    bench.node.finish()


def test_a_killed_server_holds_the_arm_and_it_goes_on_by_itself(child: Bench):
    child.run()
    child.until(lambda: moving(child), "motion")
    first = server_pid()
    os.kill(first, signal.SIGKILL)
    child.until_status("hold_policy_lost")
    child.until(lambda: at_rest(child), "rest")
    speeds = np.abs(velocities(child.client)).max(axis=1)
    assert (speeds <= 1.5).all()
    since = time.time()
    child.until_status("running")
    # Nothing of before: what is followed now was seen after the arm had come to rest.
    told = values(child.client.statuses[-1])
    assert float(told["stamp_s"]) - float(told["chunk_age_ms"]) / 1e3 > since - 0.2
    assert float(told["image_to_command_ms"]) < 500
    assert server_pid() != first
    child.until(lambda: moving(child), "motion")


def test_a_frozen_server_is_told_and_replaced(child: Bench):
    child.run()
    first = server_pid()
    os.kill(first, signal.SIGSTOP)
    child.until_status("hold_policy_lost")
    assert "ping" in child.client.statuses[-1].message
    child.until_status("running")
    assert gone(first)


def test_a_frozen_server_delays_no_transition(child: Bench):
    child.run()
    first = server_pid()
    os.kill(first, signal.SIGSTOP)
    child.until(lambda: at_rest(child), "the end of the last chunk")
    quickly(child, DEACTIVATE)
    quickly(child, CLEANUP)
    assert gone(first)


def test_a_policy_that_hangs_is_a_fault_and_delays_no_transition(child: Bench):
    child.run()
    child.client.say("hang")
    child.until_status("fault_policy_hangs")
    assert "has not answered for 5." in child.client.statuses[-1].message
    assert at_rest(child)
    pid = server_pid()
    quickly(child, DEACTIVATE)
    quickly(child, CLEANUP)
    assert gone(pid)


def test_a_server_that_ends_again_and_again_is_told_with_its_last_words(child: Bench):
    child.run()
    child.client.say("exit")
    words = "ended with status 3; its last words: exit it is"
    child.until(lambda: words in child.client.statuses[-1].message, "the words")
    assert child.client.status() == "hold_policy_lost"
    child.client.say("sway")
    child.until_status("running")


def test_configuring_waits_for_nothing_and_the_reason_is_told(
    bench: Bench, described_checkpoint: Path, tmp_path: Path
):
    silent = tmp_path / "silent_python"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    bench.start_with(None, checkpoint=str(described_checkpoint), policy_python=str(silent))
    quickly(bench, CONFIGURE)
    bench.client.play()
    quickly(bench, ACTIVATE)
    bench.until_status("waiting_for_policy")
    bench.until(lambda: "is starting (process" in bench.client.statuses[-1].message, "the reason")
    quickly(bench, DEACTIVATE)
    quickly(bench, CLEANUP)


@pytest.fixture
def start_node(robot_file: Path, described_checkpoint: Path):
    """Start a `vla_node` of its own process, active at once."""
    nodes = []

    def start(**parameters: object) -> subprocess.Popen:
        given = {"robot_file": robot_file, "checkpoint": described_checkpoint, "autostart": "true"}
        command = [sys.executable, "-m", "vla_ros.ros.vla_node", "--ros-args"]
        for name, value in (given | parameters).items():
            command += ["-p", f"{name}:={value}"]
        nodes.append(subprocess.Popen(command, cwd=HERE.parents[1]))
        return nodes[-1]

    yield start
    for node in nodes:
        node.kill()
        node.wait()


def follow(bench: Bench, text: str = "sway") -> None:
    bench.client.play()
    bench.until(bench.connected, "discovery")
    # The import of torch, on a machine with more to do, takes its time.
    ready = "waiting_for_instruction"
    bench.until(lambda: bench.client.status() == ready, "the policy", timeout_s=120.0)
    bench.client.say(text)
    bench.until_status("running")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_nodes_end_leaves_no_child_behind(bench: Bench, start_node, tmp_path, end):
    node = start_node(policy_python=write_policy_python(tmp_path))
    follow(bench)
    pid = server_pid(node.pid)
    bench.client.say("hang")  # the policy, from here on
    bench.ticks(50)
    node.send_signal(end)
    assert node.wait(10) == (-signal.SIGKILL if end == signal.SIGKILL else 0)
    until(lambda: gone(pid), "the end of the server")


def test_the_running_node_has_no_torch_in_its_memory(bench: Bench, start_node, checkpoint: Path):
    node = start_node(checkpoint=checkpoint, device="cpu", threads=1)
    follow(bench, "sway left")
    pid = server_pid(node.pid)
    assert "torch" in Path(f"/proc/{pid}/maps").read_text()
    assert "torch" not in Path(f"/proc/{node.pid}/maps").read_text()
    node.send_signal(signal.SIGINT)
    assert node.wait(10) == 0
    assert gone(pid)
