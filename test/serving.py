"""A policy server in a thread of the test, with a policy that needs no model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from vla_ros.datatypes import ActionChunk, Frame, Observation, RobotState
from vla_ros.policy.batching import InferBatch
from vla_ros.policy.client import ServerAddress
from vla_ros.policy.server import ServerSettings, run_server
from vla_ros.policy_protocol import CameraSpec, PolicySpec

SPEC = PolicySpec(
    robot="three",
    cameras=tuple(
        CameraSpec(name=name, height_px=32, width_px=32, resize="letterbox")
        for name in ("front", "wrist")
    ),
    state_names=("shoulder", "elbow", "wrist", "gripper"),
    action_names=("shoulder", "elbow", "wrist", "gripper"),
    horizon=16,
    step_s=0.05,
)


def observe(seed: int = 0, instruction: str = "sway") -> Observation:
    rng = np.random.default_rng(seed)
    frames = {
        camera.name: Frame(pixels=rng.integers(0, 256, (32, 32, 3), np.uint8), stamp_s=9.9)
        for camera in SPEC.cameras
    }
    state = RobotState(
        position_rad=rng.normal(size=3),
        velocity_rad_s=np.zeros(3),
        gripper_open=0.25,
        stamp_s=10.0,
    )
    return Observation(frames=frames, state=state, instruction=instruction, epoch=4, stamp_s=10.0)


def plan(observation: Observation) -> ActionChunk:
    """Actions that tell which state and pictures they came from."""
    state = [*observation.state.position_rad, observation.state.gripper_open]
    mean = np.mean([frame.pixels.mean() for frame in observation.frames.values()])
    steps = np.arange(SPEC.horizon)[:, None]
    return ActionChunk(
        actions=np.array(state) + steps * mean,
        start_s=observation.stamp_s,
        step_s=SPEC.step_s,
        epoch=observation.epoch,
        inference_s=0.001,
    )


def plan_all(observations: Sequence[Observation], _: object = None) -> list[ActionChunk]:
    return [plan(observation) for observation in observations]


@contextmanager
def serving(
    infer: InferBatch = plan_all,
    spec: PolicySpec = SPEC,
    weights_sha256: str = "",
    **settings: object,
) -> Iterator[ServerAddress]:
    """Serve until the block ends."""
    chosen = ServerSettings(**{"port": 0, **settings})
    found, ready = [], threading.Event()
    loop = asyncio.new_event_loop()

    def listening(uri: str) -> None:
        found.append(uri)
        ready.set()

    async def run() -> None:
        stops.append(stop := asyncio.Event())
        await run_server(spec, infer, chosen, stop, listening, weights_sha256)

    stops: list[asyncio.Event] = []
    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(10.0)
    try:
        yield ServerAddress(uri=found[0], api_key=chosen.api_key)
    finally:
        loop.call_soon_threadsafe(stops[0].set)
        thread.join()
        loop.close()
