"""The server as its clients see it: real sockets, its own codec or raw bytes."""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import msgpack
import numpy as np
import pytest
from serving import SPEC, observe, plan, plan_all, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from vla_ros.errors import InstructionError, MessageError
from vla_ros.policy import codec, messages
from vla_ros.policy.client import ServerAddress

KEYS = messages.keys_of(SPEC)
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


def message(seed: int = 0, **changes: object) -> dict:
    made = messages.observation_to_message(observe(seed), SPEC, KEYS)
    made.update({name.replace("__", "/"): value for name, value in changes.items()})
    return made


def open_link(address: ServerAddress, **options):
    headers = {"Authorization": f"Api-Key {address.api_key}"} if address.api_key else None
    return connect(address.uri, compression=None, proxy=None, additional_headers=headers, **options)


def ask(link, content: object) -> dict | str:
    link.send(content if isinstance(content, bytes | str) else codec.pack(content))
    answer = link.recv(timeout=10)
    return answer if isinstance(answer, str) else codec.unpack(answer)


@pytest.fixture
def address():
    with serving() as address:
        yield address


@pytest.fixture
def link(address):
    with open_link(address) as link:
        link.recv(timeout=10)
        yield link


def test_a_client_is_greeted_with_the_specification(address):
    with open_link(address) as link:
        greeting = codec.unpack(link.recv(timeout=10))
    assert messages.spec_from_metadata(greeting) == SPEC


def test_plain_keys_are_answered_with_actions(link):
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (48, 64, 3), np.uint8)  # of any size
    answer = ask(
        link,
        {
            "observation/image/front": picture,
            "observation/image/wrist": picture,
            "observation/state": np.array([0.1, 0.2, 0.3, 1.0], np.float32),
            "prompt": "sway",
        },
    )
    assert answer["actions"].shape == (16, 4)
    assert answer["actions"][0] == pytest.approx([0.1, 0.2, 0.3, 1.0])
    assert answer["actions"][1, 0] == pytest.approx(0.1 + picture.mean())
    assert answer["server_timing"]["infer_ms"] == 1.0


def test_it_tells_that_it_is_healthy(address):
    with urllib.request.urlopen(address.uri.replace("ws", "http") + "/healthz") as answer:
        assert (answer.status, answer.read()) == (200, b"OK\n")


def test_it_listens_on_this_machine_alone_unless_told_otherwise(address):
    assert address.uri.startswith("ws://127.0.0.1:")


@pytest.mark.parametrize("key", [None, "wrong", "RIGHT", ""])
def test_a_wrong_key_is_turned_away(key):
    headers = {} if key is None else {"Authorization": b"Api-Key ".decode() + key}
    with serving(api_key="right") as address:
        with (
            pytest.raises(InvalidStatus) as caught,
            connect(address.uri, additional_headers=headers, proxy=None),
        ):
            pass
        assert caught.value.response.status_code == 401
        assert b"a wrong API key" in caught.value.response.body
        with open_link(address) as link:
            link.recv(timeout=10)
            assert "actions" in ask(link, message())


def test_a_key_that_is_no_text_is_turned_away():
    with serving(api_key="right") as address:
        host, port = address.uri.removeprefix("ws://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(HANDSHAKE + b"Authorization: Api-Key \xff\xfe\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 401")


def test_a_web_page_in_a_browser_is_turned_away(address):
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(address.uri, origin="http://evil.example", proxy=None),
    ):
        pass
    assert caught.value.response.status_code == 403


def test_more_clients_than_the_limit_are_turned_away():
    with serving(max_clients=1) as address, open_link(address) as link:
        link.recv(timeout=10)
        with pytest.raises(InvalidStatus) as caught, open_link(address):
            pass
        assert caught.value.response.status_code == 503


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (message(observation__image__top=np.zeros((2, 2, 3), np.uint8)), "image/top' is unknown"),
        ({"prompt": "sway"}, "'observation/image/wrist' is missing"),
        (message(observation__image__front=np.zeros((2, 2, 3))), "is float64"),
        (message(observation__image__front=np.zeros((3, 2, 2), np.uint8)), "valid: uint8 (H, W"),
        (message(observation__image__front=np.zeros((0, 2, 3), np.uint8)), "valid: uint8 (H, W"),
        (message(observation__image__front="x"), "is a str; valid: an array"),
        (message(observation__state=np.zeros(3)), "shape (4,): shoulder, elbow, wrist, gripper"),
        (message(observation__state=np.array([0, 0, 0, np.nan])), "not finite"),
        (message(prompt=""), "a text of 1 to 4096"),
        (message(prompt=7), "a text of 1 to 4096"),
        (message(prompt="x" * 5000), "a text of 1 to 4096"),
        ([1, 2], "an observation is a map"),
        (codec.pack(message())[:-100], "no msgpack"),
        (b"garbage", "no msgpack"),
        ("a text", "got a text frame"),
    ],
)
def test_a_bad_observation_gets_a_clear_error_and_the_client_may_go_on(link, content, complaint):
    answer = ask(link, content)
    assert isinstance(answer, str)
    assert complaint in answer
    assert "Traceback" in answer
    assert "actions" in ask(link, message())


def test_an_oversized_message_is_refused_before_it_is_read(address):
    with open_link(address) as link:
        link.recv(timeout=10)
        with pytest.raises(ConnectionClosed) as caught:
            ask(link, bytes(codec.MAX_MESSAGE_BYTES + 1))
    assert caught.value.rcvd.code == 1009
    with open_link(address) as link:
        link.recv(timeout=10)
        assert "actions" in ask(link, message())


def test_what_the_policy_raises_is_told_to_the_one_who_asked():
    def infer(observations, prefixes):
        if any(observation.instruction == "boom" for observation in observations):
            raise InstructionError("no such word: boom")
        return plan_all(observations)

    with serving(infer) as address, open_link(address) as link, open_link(address) as other:
        for each in (link, other):
            each.recv(timeout=10)
        text = ask(link, message(prompt="boom"))
        assert text.rstrip().endswith("vla_ros.errors.InstructionError: no such word: boom")
        assert "actions" in ask(other, message())
        assert "actions" in ask(link, message())


def test_observations_that_wait_are_planned_in_one_pass_and_each_gets_its_own():
    sizes, begin, go = [], threading.Event(), threading.Event()

    def infer(observations, prefixes):
        begin.set()
        assert go.wait(10)
        sizes.append(len(observations))
        if any(o.instruction == "boom" for o in observations):
            raise ValueError("boom")
        return plan_all(observations)

    def one(seed: int) -> dict | str:
        with open_link(address) as link:
            link.recv(timeout=10)
            ready.wait(10)
            return ask(link, message(seed, prompt="boom" if seed == 3 else "sway"))

    with serving(infer) as address, ThreadPoolExecutor(8) as pool:
        ready = threading.Barrier(8)
        with open_link(address) as first:
            first.recv(timeout=10)
            first.send(codec.pack(message()))
            assert begin.wait(10)  # busy from here on: the others wait
            answers = [pool.submit(one, seed) for seed in range(1, 8)]
            ready.wait(10)
            time.sleep(0.5)  # nothing tells that all have been read
            go.set()
            for seed, answer in enumerate(answers, start=1):
                if seed == 3:
                    assert "ValueError: boom" in answer.result(10)
                    continue
                expected = plan(observe(seed)).actions
                assert answer.result(10)["actions"] == pytest.approx(expected)
    assert sizes[:2] == [1, 7]
    assert sizes[2:] == [1] * 7, "after a batch that failed, one by one"


def test_it_ends_although_its_policy_hangs():
    asked, ends = threading.Event(), threading.Event()

    def hang(observations, prefixes):
        asked.set()
        ends.wait(20)
        return plan_all(observations)

    try:
        with serving(hang) as address, open_link(address) as link:
            link.recv(timeout=10)
            link.send(codec.pack(message()))
            assert asked.wait(10)
            begin = time.monotonic()
        assert time.monotonic() - begin < 10
    finally:
        ends.set()


def test_a_batch_is_never_larger_than_the_limit():
    sizes = []

    def infer(observations, prefixes):
        sizes.append(len(observations))
        time.sleep(0.01)
        return plan_all(observations)

    def one(seed: int) -> None:
        with open_link(address) as link:
            link.recv(timeout=10)
            for _ in range(5):
                ask(link, message(seed))

    with serving(infer, max_batch=3) as address, ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    assert max(sizes) == 3


def test_a_client_that_does_not_read_or_dribbles_blocks_nobody(address):
    host, port = address.uri.removeprefix("ws://").split(":")
    dribbler = socket.create_connection((host, int(port)))
    dribbler.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")  # a handshake without an end
    options = {"max_queue": 1, "close_timeout": 0.1}
    with open_link(address, **options) as deaf, open_link(address, **options) as half:
        half.recv(timeout=10)
        # The head of a masked frame of 8 MiB, and nothing of it.
        half.socket.sendall(b"\x82\xff" + (8 * 2**20).to_bytes(8, "big") + b"\0\0\0\0")
        deaf.socket.settimeout(0.2)
        packed = codec.pack(message())
        for _ in range(300):
            try:
                deaf.send(packed)
            except (TimeoutError, ConnectionClosed):
                break
        with open_link(address) as link:
            link.recv(timeout=10)
            times_s = []
            for seed in range(50):
                started_s = time.perf_counter()
                assert "actions" in ask(link, message(seed))
                times_s.append(time.perf_counter() - started_s)
        assert np.median(times_s) < 0.1
    dribbler.close()


BAD_ARRAYS = (
    np.zeros((4, 4, 3)),
    np.zeros((4, 4), np.uint8),
    np.zeros((3, 4, 4), np.int8),
    np.zeros(0, np.uint8),
    np.array(1, np.uint8),
    np.full(4, np.inf),
)


def bad_content(rng: random.Random) -> bytes | str:
    """A message that no server should like, of ten kinds."""
    good = message(rng.randrange(9))
    key = rng.choice([*good])
    match rng.randrange(8):
        case 0:
            good[f"observation/image/{rng.choice('abc')}"] = good.pop(key)
        case 1:
            good[key] = rng.choice(BAD_ARRAYS) if key != "prompt" else rng.random()
        case 2:
            del good[key]
        case 3:
            return codec.pack(good)[: rng.randrange(1, 6000)]
        case 4:
            return rng.randbytes(rng.randrange(2000))
        case 5:
            return "text " * rng.randrange(100)
        case 6:
            content = bytearray(codec.pack(good))
            # In the heads of the arrays, not in the pictures, which may have any content.
            content[rng.randrange(8)] ^= 1 << rng.randrange(8)
            return bytes(content)
        case _:
            dtype = rng.choice(["|O", "|V3", "<U1", "<M8[s]", "object", "", "<f8" * 50])
            fake = {b"__ndarray__": True, b"data": b"x", b"dtype": dtype, b"shape": [1]}
            return msgpack.packb({**dict.fromkeys(good, 0), key: fake})
    return codec.pack(good)


def test_thousands_of_bad_messages_disturb_nobody(address):
    seed = int(os.environ.get("FUZZ_SEED", "0"))
    rng, done, worst_s = random.Random(seed), threading.Event(), []
    host, port = address.uri.removeprefix("ws://").split(":")

    def honest() -> int:
        count = 0
        with open_link(address) as link:
            link.recv(timeout=10)
            while not done.is_set():
                started_s = time.perf_counter()
                answer = ask(link, message(count))
                worst_s.append(time.perf_counter() - started_s)
                assert answer["actions"] == pytest.approx(plan(observe(count)).actions)
                count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(honest)
        try:
            with open_link(address) as link:
                link.recv(timeout=10)
                for _ in range(3000):
                    answer = ask(link, bad_content(rng))
                    assert isinstance(answer, str)
                    assert "vla_ros.errors.MessageError: " in answer
            for _ in range(300):  # below the protocol: bytes that are no websocket
                with socket.create_connection((host, int(port))) as raw:
                    raw.sendall(rng.randbytes(rng.randrange(1, 500)) + b"\r\n\r\n")
            for _ in range(100):  # frames that break the protocol
                with open_link(address, close_timeout=0.1) as link:
                    link.recv(timeout=10)
                    link.socket.sendall(rng.randbytes(rng.randrange(20, 500)))
        finally:
            done.set()
        assert counting.result(20) > 100
    assert np.percentile(worst_s, 99) < 0.25


PREFIX = {"observation__prefix": np.zeros((5, 4)), "observation__prefix_frozen": 2}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"observation__prefix": [0.0]}, "is a list; valid: an array"),
        ({"observation__prefix": np.zeros((5, 3))}, r"float64 \(5, 3\); valid: numbers of .*wrist"),
        ({"observation__prefix": np.zeros((9, 4))}, "has 9 steps.*valid: 1 to 8 finite"),
        ({"observation__prefix": np.full((5, 4), np.nan)}, "not finite; valid: 1 to 8 finite"),
        ({"observation__prefix_frozen": 6}, "is 6; valid: a whole number from 0 to 5"),
        ({"observation__prefix_frozen": True}, "is True; valid: a whole number"),
    ],
)
def test_a_wrong_prefix_is_told_and_others_are_planned_for(changes, problem):
    with serving(spec=replace(SPEC, prefix_steps=8)) as address, open_link(address) as link:
        link.recv(timeout=10)
        answer = ask(link, message(**{**PREFIX, **changes}))
        assert re.search(problem, answer), answer
        assert "actions" in ask(link, message(**PREFIX))
        assert "actions" in ask(link, message())


def test_a_policy_that_takes_no_prefix_refuses_one(link):
    assert "'observation/prefix' is unknown; valid: " in ask(link, message(**PREFIX))


def test_a_server_of_before_the_prefix_takes_none():
    greeting = messages.metadata(SPEC)
    del greeting["vla_ros"]["prefix_steps"]
    assert messages.spec_from_metadata(greeting).prefix_steps == 0
    greeting["vla_ros"]["prefix_steps"] = SPEC.horizon + 1
    with pytest.raises(MessageError, match="prefix_steps 17, horizon 16"):
        messages.spec_from_metadata(greeting)
