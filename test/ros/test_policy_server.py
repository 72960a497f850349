"""The policy behind a server that somebody else runs: `policy: ws://…`."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rclpy.parameter import Parameter
from ros_bench import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Bench
from ros_fakes import SPEC, sway, values
from serving import serving
from websockets.sync.server import serve

from vla_ros.datatypes import ActionChunk
from vla_ros.policy import codec
from vla_ros.policy.server_process import API_KEY_VARIABLE


def infer(observations, prefixes) -> list[ActionChunk]:
    return [
        ActionChunk(actions=sway(o), start_s=0.0, step_s=0.05, epoch=0, inference_s=0.001)
        for o in observations
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def remote(bench: Bench, port: int):
    """The bench with a node of no checkpoint, active, whose server is not there yet."""
    bench.start_with(None, checkpoint="", policy=f"ws://127.0.0.1:{port}")
    assert bench.change(CONFIGURE, ACTIVATE)
    bench.client.play()
    bench.until(bench.connected, "discovery")
    bench.until_status("waiting_for_policy")
    yield bench
    bench.node.finish()


def obey(bench: Bench) -> None:
    bench.until_status("waiting_for_instruction")
    bench.client.say("sway")
    bench.until_status("running")


def weights(bench: Bench) -> str:
    return values(bench.client.statuses[-1])["weights_sha256"]


def until_message(bench: Bench, words: str) -> None:
    bench.until(lambda: words in bench.client.statuses[-1].message, f"the reason: {words}")


def test_the_server_may_come_later_go_and_come_back(remote: Bench, port: int):
    until_message(remote, f"ws://127.0.0.1:{port} cannot be reached")
    assert not remote.client.arm
    assert weights(remote) == ""
    with serving(infer, SPEC, "ab" * 32, port=port):
        obey(remote)
        assert weights(remote) == "abababababab"
    remote.until_status("hold_policy_lost")
    until_message(remote, f"ws://127.0.0.1:{port}")
    with serving(infer, SPEC, port=port):
        remote.until_status("running")
        assert float(values(remote.client.statuses[-1])["chunk_age_ms"]) < 500
        assert weights(remote) == ""  # this one does not tell


@pytest.mark.parametrize("key", ["right", "wrong"])
def test_the_key_comes_by_the_environment(bench: Bench, port: int, monkeypatch, key):
    monkeypatch.setenv(API_KEY_VARIABLE, key)
    bench.start_with(None, checkpoint="", policy=f"ws://127.0.0.1:{port}")
    with serving(infer, SPEC, port=port, api_key="right"):
        assert bench.change(CONFIGURE, ACTIVATE)
        bench.client.play()
        if key == "wrong":
            bench.until_status("waiting_for_policy")
            until_message(bench, "status 401: a wrong API key")
        else:
            obey(bench)
        assert bench.change(DEACTIVATE, CLEANUP)


def test_a_policy_of_another_robot_is_refused_with_the_reason(remote: Bench, port: int, capfd):
    other = replace(SPEC, robot="four", state_names=("a",), action_names=("a",))
    with serving(infer, other, port=port):
        remote.until_status("fault_policy_error")
        assert "trained for 'four'" in remote.client.statuses[-1].message
        assert remote.change(DEACTIVATE)
        assert not remote.change(ACTIVATE)
    assert "the policy could not be loaded" in capfd.readouterr().err
    assert remote.change(CLEANUP, CONFIGURE)


def test_another_policy_behind_the_same_address_is_not_followed(remote: Bench, port: int):
    with serving(infer, SPEC, port=port):
        obey(remote)
    with serving(infer, replace(SPEC, horizon=20), port=port):
        remote.until_status("fault_policy_error")
        assert "another policy is behind the server now" in remote.client.statuses[-1].message


def test_only_the_cameras_of_the_policy_are_waited_for(remote: Bench, port: int, robot_file: Path):
    assert remote.change(DEACTIVATE, CLEANUP)
    text = robot_file.read_text()
    wrist = "  wrist: {topic: /wrist/image_raw, max_age_s: 0.5}\nstate:"
    robot_file.write_text(text.replace("\nstate:", "\n" + wrist))
    assert remote.change(CONFIGURE, ACTIVATE)
    with serving(infer, SPEC, port=port):
        obey(remote)
    assert "/wrist/image_raw" in remote.node.session.inputs.counts


class SilentServer:
    """A server that says nothing of its policy, and keeps what it is asked."""

    def __init__(self, port: int) -> None:
        self.asked: list[dict] = []
        self._server = serve(self._handle, "127.0.0.1", port)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _handle(self, connection) -> None:
        connection.send(codec.pack({}))
        for content in connection:
            self.asked.append(codec.unpack(content))
            joints = self.asked[-1]["observation/joint_position"]
            steps = np.arange(1, 11)[:, None] * np.array([0.02, -0.01, 0.01])
            actions = np.hstack([joints + steps, np.full((10, 1), 0.5)])
            connection.send(codec.pack({"actions": actions.astype(np.float32)}))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()


def test_what_a_silent_server_does_not_say_is_in_the_robot_file(
    remote: Bench, port: int, robot_file: Path
):
    server = SilentServer(port)
    try:
        remote.until_status("fault_policy_error")
        assert "policy_server: horizon, step_s" in remote.client.statuses[-1].message
        assert remote.change(DEACTIVATE, CLEANUP)
        section = (
            "policy_server: {horizon: 10, step_s: 0.05, height_px: 48, width_px: 64,\n"
            "  images: {front: observation/exterior_image}, gripper: observation/gripper_position,"
            "\n  joints: observation/joint_position, prompt: prompt}\n"
        )
        robot_file.write_text(robot_file.read_text() + section)
        assert remote.change(CONFIGURE, ACTIVATE)
        obey(remote)
    finally:
        server.close()
    asked = server.asked[-1]
    assert {key: np.shape(value) for key, value in asked.items()} == {
        "observation/exterior_image": (48, 64, 3),
        "observation/joint_position": (3,),
        "observation/gripper_position": (1,),
        "prompt": (),
    }


@pytest.mark.parametrize(
    "policy", ["nowhere", "http://box:8000", "ws://", "ws://box:none", "ws://box:99999"]
)
def test_a_policy_that_is_no_place_is_refused(bench: Bench, policy: str, capfd):
    bench.start_with(None, policy=policy)
    assert not bench.change(CONFIGURE)
    valid = "valid: process, in_process, ws://HOST:PORT, wss://HOST:PORT"
    assert f"policy: '{policy}' is unknown; {valid}" in capfd.readouterr().err


def test_a_python_that_is_no_program_is_refused(bench: Bench, capfd):
    bench.start_with(None, policy_python="/nowhere/python")
    assert not bench.change(CONFIGURE)
    assert "policy_python: '/nowhere/python' is no program" in capfd.readouterr().err
    bench.node.set_parameters([Parameter("policy_python", value="")])
    assert not bench.change(CONFIGURE)
    assert "policy_python" not in capfd.readouterr().err
