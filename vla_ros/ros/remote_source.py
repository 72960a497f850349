"""The policy in another process: a child of the node, or a server that somebody else runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from rclpy.impl.rcutils_logger import RcutilsLogger

from vla_ros.errors import CheckpointError, PolicyServerError
from vla_ros.policy.checkpoint import read_checkpoint
from vla_ros.policy.client import ForeignServer, RemotePolicy, Server, ServerAddress
from vla_ros.policy.expectation import expected_spec, fitting_spec
from vla_ros.policy.messages import ObservationKeys
from vla_ros.policy.server_process import API_KEY_VARIABLE, ServerProcess
from vla_ros.policy_protocol import LEROBOT, Policy, PolicySpec
from vla_ros.robot_config import RobotConfig
from vla_ros.ros.params import IN_PROCESS, VlaNodeParameters
from vla_ros.ros.policy_source import PolicySource

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 1.0


def source_of(
    parameters: VlaNodeParameters, robot: RobotConfig, logger: RcutilsLogger
) -> PolicySource:
    """The source that the parameter `policy` names.

    Raises:
        CheckpointError: The checkpoint's configuration cannot be used.
    """
    if parameters.is_remote:
        return _described_by(lambda: _foreign(parameters), robot, logger)
    if parameters.backend == LEROBOT:
        return _described_by(lambda: _child(parameters, logger), robot, logger)
    digest = read_checkpoint(parameters.checkpoint_dir).weights_sha256
    if parameters.policy == IN_PROCESS:
        return PolicySource(weights_sha256=lambda: digest)
    search = Search(lambda: _child(parameters, logger), robot, logger)
    return PolicySource(
        load=search.load,
        progress=search.progress,
        close=search.close,
        # The child reads the folder again whenever it is started anew.
        weights_sha256=lambda: search.weights_sha256() or digest,
    )


def _described_by(
    make_server: Callable[[], Server], robot: RobotConfig, logger: RcutilsLogger
) -> PolicySource:
    """A policy of which nothing is known here until its server tells."""
    search = Search(make_server, robot, logger)
    return PolicySource(
        read_spec=lambda folder: expected_spec(robot),
        load=search.load,
        progress=search.progress,
        close=search.close,
        weights_sha256=search.weights_sha256,
    )


class Search:
    """Tries to connect until the server is there; from then on `RemotePolicy` keeps the link."""

    def __init__(
        self, make_server: Callable[[], Server], robot: RobotConfig, logger: RcutilsLogger
    ) -> None:
        """Args: make_server: Called in the thread that loads, so that nothing starts before."""
        self._make_server = make_server
        self._robot = robot
        self._logger = logger
        self._trouble = ""
        self._found: PolicySpec | None = None
        self._server: Server | None = None
        self._policy: RemotePolicy | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def progress(self) -> str:
        """Why there is no policy yet."""
        return self._trouble or "the policy server is being looked for"

    def weights_sha256(self) -> str:
        """Digest of the weights that the server tells; empty when it does not, or not yet."""
        return "" if self._policy is None else self._policy.weights_sha256

    def load(self, parameters: VlaNodeParameters) -> Policy:
        """Connect, for as long as it takes.

        Raises:
            VlaError: The policy does not fit, or `close` was called.
        """
        with self._lock:
            server = self._server = None if self._closing.is_set() else self._make_server()
        delay_s = _FIRST_RETRY_S
        while server is not None and not self._closing.is_set():
            try:
                return self._keep(RemotePolicy(server, self._expect))
            except PolicyServerError as error:
                self._tell(str(error))
            self._closing.wait(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_RETRY_S)
        raise PolicyServerError("not needed any more")

    def close(self) -> None:
        """Let go of the link and of the server."""
        self._closing.set()
        with self._lock:
            if self._policy is not None:
                self._policy.close()
            elif self._server is not None:
                self._server.close()

    def _keep(self, policy: RemotePolicy) -> RemotePolicy:
        with self._lock:
            if self._closing.is_set():
                policy.close()
            self._policy = policy
        return policy

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._logger.info(f"no policy yet: {trouble}")
        self._trouble = trouble

    def _expect(self, said: PolicySpec | None) -> tuple[PolicySpec, ObservationKeys]:
        """The policy must fit the robot, and be the one that the loop was made for."""
        spec, keys = fitting_spec(said, self._robot)
        if self._found not in (None, spec):
            raise CheckpointError(
                "another policy is behind the server now, with other cameras or chunks; clean up "
                "and configure vla_node again to use it"
            )
        self._found = spec
        return spec, keys


def _foreign(parameters: VlaNodeParameters) -> ForeignServer:
    key = os.environ.get(API_KEY_VARIABLE) or None
    return ForeignServer(address=ServerAddress(uri=parameters.policy, api_key=key))


def _child(parameters: VlaNodeParameters, logger: RcutilsLogger) -> ServerProcess:
    options = ["--checkpoint", str(parameters.checkpoint_dir.resolve())]
    options += ["--device", parameters.device, "--threads", str(parameters.threads)]
    options += ["--precision", parameters.precision, "--backend", parameters.backend]
    if parameters.backend == LEROBOT:
        options += ["--robot", str(Path(parameters.robot_file).resolve())]
    python = parameters.policy_python or sys.executable
    return ServerProcess(python, options, lambda line: logger.info(f"policy server: {line}"))
