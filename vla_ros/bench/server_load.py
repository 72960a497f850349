"""Processes of `bench server`: what serves, and clients that ask as fast as they are answered."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import ConnectionClosed

from vla_ros.datatypes import ActionChunk, FloatArray, Frame, Observation, RobotState
from vla_ros.errors import PolicyServerError
from vla_ros.policy import codec, messages
from vla_ros.policy.client import ForeignServer, Link, RemotePolicy, ServerAddress
from vla_ros.policy.server import ServerSettings, run_server
from vla_ros.policy_protocol import CameraSpec, PolicySpec

_JOINTS = tuple(f"joint{i}" for i in range(1, 8))
SPEC = PolicySpec(
    robot="bench",
    cameras=tuple(
        CameraSpec(name=name, height_px=224, width_px=224, resize="letterbox")
        for name in ("front", "wrist")
    ),
    state_names=(*_JOINTS, "gripper"),
    action_names=(*_JOINTS, "gripper"),
    horizon=16,
    step_s=0.05,
)
_WARM_UP = 20
_READY_WITHIN_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """What serves.

    Attributes:
        is_echo: Answers without reading what it got, by the bytes that a plan would have.
        max_batch: Observations in one pass.
        pass_s: Time of a pass; slept, as a CPU waits for a GPU.
        row_s: Time on top of it for each observation in the pass.
    """

    is_echo: bool = False
    max_batch: int = 16
    pass_s: float = 0.0
    row_s: float = 0.0


def measure(served: Served, clients: int, seconds: float) -> list[FloatArray]:
    """Round trips of each client [s], in processes of their own, all asking at the same time.

    Raises:
        PolicyServerError: A process ended, or is silent.
    """
    with _child(_serve, served) as server:
        uri = _heard(server)
        with ExitStack() as stack:
            asking = [
                stack.enter_context(_child(_ask, uri, served.is_echo, seconds))
                for _ in range(clients)
            ]
            for client in asking:
                _heard(client)
            for client in asking:
                client.send("go")
            return [_heard(client) for client in asking]


@contextmanager
def _child(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """A process that speaks through a pipe; it is ended whatever happens."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.terminate()
        process.join()


def _heard(connection: Connection) -> Any:
    """What a child says next."""
    try:
        if connection.poll(_READY_WITHIN_S):
            return connection.recv()
    except EOFError as error:
        raise PolicyServerError("a process of the measurement ended; see above why") from error
    raise PolicyServerError(f"a process of the measurement said nothing for {_READY_WITHIN_S:g} s")


def _serve(parent: Connection, served: Served) -> None:
    if served.is_echo:
        asyncio.run(_echo(parent))
        return

    def infer(observations: Sequence[Observation], _: object) -> list[ActionChunk]:
        if served.pass_s > 0:
            time.sleep(served.pass_s + served.row_s * len(observations))
        return [_plan(observation) for observation in observations]

    settings = ServerSettings(port=0, max_batch=served.max_batch, max_clients=256)
    asyncio.run(run_server(SPEC, infer, settings, asyncio.Event(), parent.send))


async def _echo(parent: Connection) -> None:
    """As little as a websocket server can do, with the bytes of the real one both ways."""
    greeting, answer = codec.pack(messages.metadata(SPEC)), codec.pack(_answer())

    async def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await connection.send(greeting)
            async for _ in connection:
                await connection.send(answer)

    server = await serve_websocket(handle, "127.0.0.1", 0, compression=None, max_size=None)
    parent.send(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
    await asyncio.Event().wait()


def _ask(parent: Connection, uri: str, is_echo: bool, seconds: float) -> None:
    """Ask for some seconds, one question after another; tell how long each took."""
    ask = _bare(uri) if is_echo else _as_the_node_asks(uri)
    for _ in range(_WARM_UP):
        ask()
    parent.send("ready")
    parent.recv()
    took_s = []
    begin_s = before_s = time.perf_counter()
    while before_s - begin_s < seconds:
        ask()
        now_s = time.perf_counter()
        took_s.append(now_s - before_s)
        before_s = now_s
    parent.send(np.array(took_s))


def _bare(uri: str) -> Callable[[], object]:
    link = Link(ServerAddress(uri=uri))
    message = codec.pack(
        messages.observation_to_message(_observation(), SPEC, messages.keys_of(SPEC))
    )
    return lambda: link.ask(message)


def _as_the_node_asks(uri: str) -> Callable[[], object]:
    """From an observation to a checked chunk, packing and unpacking included."""
    server = ForeignServer(address=ServerAddress(uri=uri))
    policy = RemotePolicy(server, lambda said: (SPEC, messages.keys_of(SPEC)))
    observation = _observation()
    return lambda: policy.infer(observation)


def _observation() -> Observation:
    rng = np.random.default_rng(0)
    frames = {
        camera.name: Frame(pixels=rng.integers(0, 256, (224, 224, 3), np.uint8), stamp_s=0.0)
        for camera in SPEC.cameras
    }
    zeros = np.zeros(len(_JOINTS))
    state = RobotState(position_rad=zeros, velocity_rad_s=zeros, gripper_open=0.5, stamp_s=0.0)
    return Observation(frames=frames, state=state, instruction="sway", epoch=0, stamp_s=0.0)


def _plan(observation: Observation) -> ActionChunk:
    return ActionChunk(
        actions=np.zeros((SPEC.horizon, len(SPEC.action_names))),
        start_s=observation.stamp_s,
        step_s=SPEC.step_s,
        epoch=observation.epoch,
        inference_s=0.0,
    )


def _answer() -> dict[str, object]:
    return {messages.ACTIONS: _plan(_observation()).actions, messages.TIMING: {"infer_ms": 0.0}}
