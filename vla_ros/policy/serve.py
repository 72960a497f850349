"""`python -m vla_ros serve`: a checkpoint behind a websocket, for `vla_node` and openpi clients.

An API key comes by the environment variable `VLA_ROS_API_KEY`, where other users of the machine
cannot read it as they can read a command line.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from vla_ros.errors import ParameterError, PolicyServerError
from vla_ros.option_ranges import out_of_range
from vla_ros.policy.batching import InferBatch
from vla_ros.policy.server import ServerSettings, run_server
from vla_ros.policy.server_process import ANNOUNCEMENT, API_KEY_VARIABLE
from vla_ros.policy_protocol import BACKENDS, DEVICES, LEROBOT, PRECISIONS, PolicySpec
from vla_ros.robot_config import load_robot

_log = logging.getLogger(__name__)
_END_WITHIN_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder of the trained policy")
    add("--backend", default="vla", choices=BACKENDS, help="what the policy was trained with")
    add("--robot", type=Path, help="robot file, whose `lerobot` describes a LeRobot policy")
    add("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for other machines too")
    add("--port", type=int, default=8000, help="port to listen at; 0 takes a free one")
    add("--device", default="auto", choices=DEVICES, help="where the policy computes")
    add(
        "--precision",
        default="exact",
        choices=PRECISIONS,
        help="bf16 on CUDA; int8 on a CPU, which needs onnx and onnxruntime",
    )
    add("--threads", type=int, default=0, help="CPU threads; 0 takes all cores but one")
    add("--max-batch", type=int, default=16, help="observations that are planned in one pass")
    add("--max-clients", type=int, default=32, help="robots that may be connected")
    add("--nice", type=int, default=0, help="how much of its priority it gives up, 0 to 19")
    add("--end-with-stdin", action="store_true", help="end when standard input is closed")


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; returns the exit status."""
    settings = _settings(arguments)
    if settings.api_key is None and settings.host not in ("127.0.0.1", "::1", "localhost"):
        _log.warning(
            "anybody who reaches %s may use the policy; set %s to ask for a key",
            settings.host,
            API_KEY_VARIABLE,
        )
    # Before there is a thread that plans: each has a priority of its own.
    os.nice(arguments.nice)
    if arguments.end_with_stdin:
        threading.Thread(target=_end_with_stdin, name="vla-stdin", daemon=True).start()
    spec, infer, digest = _load(arguments)

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_server(spec, infer, settings, stop, _announce, digest)

    try:
        asyncio.run(serve())
    except OSError as error:
        raise PolicyServerError(
            f"cannot listen at {settings.host}:{settings.port}: {error}; choose another --port"
        ) from error
    return 0


def _load(arguments: argparse.Namespace) -> tuple[PolicySpec, InferBatch, str]:
    """What the policy needs, how it plans, and the digest of its weights."""
    # Here, not above: what is wrong with the options is told without waiting for torch.
    if arguments.backend == LEROBOT:
        robot = load_robot(arguments.robot)
        from vla_ros.policy.lerobot_policy import LeRobotPolicy

        theirs = LeRobotPolicy.load(
            arguments.checkpoint, robot=robot, device=arguments.device, threads=arguments.threads
        )
        return theirs.spec, theirs.infer_batch, theirs.weights_sha256
    from vla_ros.policy.vla_policy import VLAPolicy

    ours = VLAPolicy.load(
        arguments.checkpoint,
        device=arguments.device,
        threads=arguments.threads,
        precision=arguments.precision,
    )
    return ours.spec, ours.infer_batch, ours.checkpoint.weights_sha256


def _settings(arguments: argparse.Namespace) -> ServerSettings:
    ranges = {"port": (0, 65535), "threads": (0, 256), "max_batch": (1, 256)}
    ranges |= {"max_clients": (1, 1024), "nice": (0, 19)}
    problems = out_of_range(arguments, ranges)
    if (arguments.backend == LEROBOT) != (arguments.robot is not None):
        problems.append(
            f"--robot: goes with --backend {LEROBOT}, whose policies do not say what their numbers "
            f"are; got --backend {arguments.backend}, --robot {arguments.robot}"
        )
    if arguments.backend == LEROBOT and arguments.precision != "exact":
        problems.append(f"--precision: {arguments.precision} is not for --backend {LEROBOT}")
    if problems:
        raise ParameterError("serve", problems)
    return ServerSettings(
        host=arguments.host,
        port=arguments.port,
        api_key=os.environ.get(API_KEY_VARIABLE) or None,
        max_batch=arguments.max_batch,
        max_clients=arguments.max_clients,
    )


def _announce(uri: str) -> None:
    """Say where, in a line that `ServerProcess` waits for."""
    sys.stdout.write(f"{ANNOUNCEMENT}{uri}\n")
    sys.stdout.flush()


def _end_with_stdin() -> None:
    """End when whoever started us is gone, whatever is being done at that moment."""
    while os.read(0, 4096):
        pass
    # In case something hangs: nobody would be there to end us.
    threading.Timer(_END_WITHIN_S, os._exit, args=(1,)).start()
    os.kill(os.getpid(), signal.SIGTERM)
