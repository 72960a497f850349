"""The policy behind a link: what it gives, and what it raises when things go wrong."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from serving import SPEC, observe, plan, plan_all, serving
from websockets.sync.server import serve

from vla_ros.datatypes import ActionPrefix
from vla_ros.errors import InstructionError, MessageError, PolicyServerError
from vla_ros.policy import codec, messages
from vla_ros.policy.client import ForeignServer, RemotePolicy, ServerAddress


def expect(spec):
    return spec, messages.keys_of(spec)


def remote(address: ServerAddress) -> RemotePolicy:
    return RemotePolicy(ForeignServer(address=address), expect)


def test_a_chunk_is_the_one_that_the_policy_gives_to_the_bit():
    with serving() as address:
        policy = remote(address)
        for seed in range(5):
            chunk, expected = policy.infer(observe(seed)), plan(observe(seed))
            assert (chunk.actions == expected.actions).all()
            assert (chunk.start_s, chunk.step_s, chunk.epoch) == (10.0, SPEC.step_s, 4)
            assert chunk.inference_s > 0
        assert policy.spec == SPEC
        assert policy.weights_sha256 == ""
        policy.close()


def test_the_digest_of_the_weights_is_the_servers_of_each_connection():
    with serving(weights_sha256="ab" * 32) as address:
        policy = remote(address)
        assert policy.weights_sha256 == "ab" * 32
    with pytest.raises(PolicyServerError):
        policy.infer(observe())
    port = int(address.uri.rpartition(":")[2])
    with serving(weights_sha256="cd" * 32, port=port):
        policy.infer(observe())
        assert policy.weights_sha256 == "cd" * 32
        policy.close()


@pytest.mark.parametrize("digest", ["ab", 7, "AB" * 32, "ab" * 33])
def test_a_digest_that_is_none_is_refused(digest):
    with pytest.raises(MessageError, match="valid: 64 hexadecimal digits"):
        messages.weights_from_metadata({"vla_ros": {"weights_sha256": digest}})


@pytest.mark.parametrize("greeting", [None, [], {}, {"vla_ros": 3}, {"vla_ros": {}}])
def test_a_server_may_keep_its_digest_to_itself(greeting):
    assert messages.weights_from_metadata(greeting) == ""


def test_pictures_are_made_as_large_as_the_policy_wants_them():
    seen = []

    def infer(observations, prefixes):
        seen.extend(observations)
        return plan_all(observations)

    observation = observe()
    frames = {
        name: replace(frame, pixels=np.zeros((480, 640, 3), np.uint8))
        for name, frame in observation.frames.items()
    }
    with serving(infer) as address:
        policy = remote(address)
        policy.infer(replace(observation, frames=frames))
        policy.close()
    assert {frame.pixels.shape for frame in seen[0].frames.values()} == {(32, 32, 3)}


@pytest.mark.fault(12)
def test_it_goes_on_by_itself_when_the_server_is_back():
    with serving() as address:
        policy = remote(address)
        policy.infer(observe())
    for _ in range(2):
        with pytest.raises(PolicyServerError, match=address.uri):
            policy.infer(observe())
    port = int(address.uri.rpartition(":")[2])
    with serving(port=port):
        assert (policy.infer(observe(3)).actions == plan(observe(3)).actions).all()
        policy.close()


def test_a_refused_instruction_is_told_from_other_errors():
    def infer(observations, prefixes):
        if observations[0].instruction == "sing":
            raise InstructionError("no such word: sing")
        if observations[0].instruction == "crash":
            raise MemoryError("no room")
        return plan_all(observations)

    with serving(infer) as address:
        policy = remote(address)
        with pytest.raises(InstructionError, match="^no such word: sing$"):
            policy.infer(observe(instruction="sing"))
        with pytest.raises(MessageError, match="MemoryError: no room"):
            policy.infer(observe(instruction="crash"))
        assert policy.infer(observe()).actions.shape == (16, 4)
        policy.close()


def test_a_wrong_key_is_told():
    with serving(api_key="right") as address:
        remote(address).close()
        with pytest.raises(PolicyServerError, match="status 401: a wrong API key"):
            remote(replace(address, api_key="wrong"))


def test_nobody_there_is_told():
    with pytest.raises(PolicyServerError, match=r"ws://127.0.0.1:9 cannot be reached: .*refused"):
        remote(ServerAddress(uri="ws://127.0.0.1:9"))
    with pytest.raises(PolicyServerError, match="cannot be reached"):
        remote(ServerAddress(uri="ws://no-such-host.invalid:8000"))
    with pytest.raises(PolicyServerError, match="cannot be reached"):
        remote(ServerAddress(uri="http://127.0.0.1:9"))


class Liar:
    """A server that greets and answers with whatever a test wants."""

    def __init__(self, greeting: object, answer: object = b"") -> None:
        def handle(connection):
            connection.send(greeting)
            for _ in connection:
                connection.send(answer)

        self._server = serve(handle, "127.0.0.1", 0)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = ServerAddress(uri=f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()


GREETING = codec.pack(messages.metadata(SPEC))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 2}, "speaks version 2, this node 1"),
        ({"cameras": 3}, "cannot be used"),
        ({"horizon": 10**9}, "horizon"),
        ({"horizon": 0}, "horizon"),
        ({"step_s": float("nan")}, "step_s"),
        ({"robot": 7}, "a name is no text"),
        ({"chain": {"origins": [], "axes": [], "tip": []}}, "kinematic chain"),
        ({"cameras": [{"name": "a", "height_px": 1 << 20, "width_px": 1, "resize": "crop"}]}, "px"),
        ({"cameras": [{"name": "a", "height_px": 1, "width_px": 1, "resize": "x"}]}, "resize"),
    ],
)
def test_metadata_that_cannot_be_used_is_refused(change, complaint):
    said = messages.metadata(SPEC)
    said["vla_ros"].update(change)
    with pytest.raises(MessageError, match=complaint.replace("px", "pixels high")):
        messages.spec_from_metadata(codec.unpack(codec.pack(said)))


@pytest.mark.parametrize("greeting", ["hello", b"\xc1", codec.pack({"vla_ros": 3})])
def test_a_greeting_that_is_none_is_told(greeting):
    liar = Liar(greeting)
    with pytest.raises(MessageError):
        remote(liar.address)
    liar.close()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"\xc1", "no msgpack"),
        (codec.pack({}), "no array of floats under 'actions'"),
        (codec.pack({"actions": [[0.0]]}), "no array of floats"),
        (codec.pack({"actions": np.zeros((16, 4), np.int64)}), "no array of floats"),
        (codec.pack({"actions": np.zeros((16, 7))}), r"shape \(16, 7\), expected \(16, 4\)"),
        ("Traceback\nOops: it burns", "answered with an error: Oops: it burns"),
    ],
)
def test_an_answer_without_the_right_actions_is_told(answer, complaint):
    liar = Liar(GREETING, answer)
    policy = remote(liar.address)
    with pytest.raises(MessageError, match=complaint):
        policy.infer(observe())
    policy.close()
    liar.close()


def test_the_running_plan_goes_to_a_policy_that_continues_it():
    heard = []

    def infer(observations, prefixes):
        heard.extend(prefixes)
        return plan_all(observations)

    takes = replace(SPEC, prefix_steps=SPEC.horizon)
    prefix = ActionPrefix(actions=np.arange(20.0).reshape(5, 4), frozen=2)
    for spec, expected in ((takes, [prefix, None]), (SPEC, [None, None])):
        with serving(infer, spec) as address, closing(remote(address)) as policy:
            assert policy.spec.prefix_steps == spec.prefix_steps
            policy.infer(observe(), prefix)
            policy.infer(observe())
        for said, wanted in zip(heard, expected, strict=True):
            assert (said is None) == (wanted is None)
            if wanted is not None:
                np.testing.assert_array_equal(said.actions, wanted.actions)
                assert said.frozen == wanted.frozen
        heard.clear()
