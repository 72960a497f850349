"""A policy that computes elsewhere: behind the websocket of a policy server, ours or openpi's.

Used by the thread that plans (`runtime.ThreadWorker`), so it may wait. A link that is down raises
`PolicyServerError` at once; the loop holds, asks again with a fresh observation after a pause, and
that opens the link again. Nothing of before is used then: an answer belongs to its connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from vla_ros.datatypes import ActionChunk, ActionPrefix, Observation
from vla_ros.errors import InstructionError, MessageError, PolicyServerError
from vla_ros.policy import codec, messages
from vla_ros.policy.messages import ObservationKeys
from vla_ros.policy_protocol import PolicySpec

_log = logging.getLogger(__name__)
# The library logs a traceback when a server that hangs answers neither ping nor close; what is
# wrong is in the exception that `ask` raises.
_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.CRITICAL)
_OPEN_WITHIN_S = 2.0
# The loop takes a policy for hanging after 5 s. Until then a dead link must be told from a policy
# that computes: a server answers pings while it computes.
_PING_EVERY_S, _PING_WITHIN_S = 1.0, 2.5
_ANSWER_WITHIN_S = 10.0
_REFUSED_INSTRUCTION = f"{InstructionError.__module__}.{InstructionError.__name__}: "


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """Where a policy server is, `ws://host:port` or `wss://…`, and the key it asks for."""

    uri: str
    api_key: str | None = None


class Server(Protocol):
    """The server behind a `RemotePolicy`."""

    def locate(self) -> ServerAddress:
        """Where it serves; raises `PolicyServerError` when it does not, now."""

    def restart(self) -> None:
        """Called when it has not answered for long."""

    def close(self) -> None:
        """Called when it is not needed any more."""


@dataclass(frozen=True, kw_only=True)
class ForeignServer:
    """A server that somebody else runs."""

    address: ServerAddress

    def locate(self) -> ServerAddress:
        """The address that was given."""
        return self.address

    def restart(self) -> None:
        """Not ours to restart."""

    def close(self) -> None:
        """Not ours to end."""


class Link:
    """One connection to a policy server.

    Attributes:
        greeting: The server's metadata.
    """

    def __init__(self, address: ServerAddress) -> None:
        """Connect.

        Raises:
            PolicyServerError: Nobody answers there, or it turns us away.
            MessageError: Its greeting is none.
        """
        key = address.api_key
        headers = None if key is None else {"Authorization": f"Api-Key {key}"}
        with ExitStack() as stack, _explained(address.uri):
            self._connection = stack.enter_context(
                connect(
                    address.uri,
                    additional_headers=headers,
                    compression=None,
                    proxy=None,
                    open_timeout=_OPEN_WITHIN_S,
                    close_timeout=0.1,
                    ping_interval=_PING_EVERY_S,
                    ping_timeout=_PING_WITHIN_S,
                    max_size=codec.MAX_MESSAGE_BYTES,
                    logger=_library_log,
                )
            )
            greeting = self._connection.recv(timeout=_OPEN_WITHIN_S)
            if isinstance(greeting, str):
                raise MessageError(f"the policy server greets with a text: {greeting[:200]}")
            self.greeting = codec.unpack(greeting)
            self._uri = address.uri
            self._closing = stack.pop_all()

    def ask(self, message: bytes) -> bytes | str:
        """Send an observation and wait for the answer.

        Raises:
            PolicyServerError: The link broke.
            TimeoutError: No answer came, over a link that is alive.
        """
        try:
            self._connection.send(message)
            return self._connection.recv(timeout=_ANSWER_WITHIN_S)
        except (ConnectionClosed, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise PolicyServerError(
                f"the link to the policy server at {self._uri} broke: {error}"
            ) from error

    def close(self) -> None:
        """Disconnect."""
        self._closing.close()


class RemotePolicy:
    """A `Policy` behind a link, which is opened again when it broke.

    Attributes:
        weights_sha256: Digest of the weights, as the server tells it; empty when it does not.
    """

    def __init__(
        self,
        server: Server,
        expect: Callable[[PolicySpec | None], tuple[PolicySpec, ObservationKeys]],
    ) -> None:
        """Connect.

        Args:
            server: Where the policy is.
            expect: Given what the server says of its policy, which may be nothing: what the policy
                needs and gives, and the keys of the server's observations; raises a `VlaError` when
                it cannot be used. Asked at each connection: another server may be there by then.

        Raises:
            VlaError: Nobody answers, or the policy cannot be used.
        """
        self._server = server
        self._expect = expect
        self._is_closed = False
        self._link: Link | None = None
        self._link = self._connect()

    def reset(self) -> None:
        """Nothing to forget here; the protocol has no word for it."""

    def infer(self, observation: Observation, prefix: ActionPrefix | None = None) -> ActionChunk:
        """Let the server plan from `observation`, and `prefix` if its policy takes one.

        Raises:
            PolicyServerError: The server cannot be reached, or has gone.
            InstructionError: Its policy refuses the instruction.
            MessageError: It answered with an error, or with something else than actions.
        """
        begin = time.perf_counter()
        link = self._link = self._link or self._connect()
        if self._is_closed:  # while connecting, by another thread
            self._drop()
            raise PolicyServerError("the link was closed by the node")
        try:
            answer = self._ask(link, observation, prefix)
        except BaseException:
            # Whatever is on its way would be taken for the answer to the next question.
            self._drop()
            raise
        shape = (self.spec.horizon, len(self.spec.action_names))
        return ActionChunk(
            actions=messages.actions_from_message(answer, shape),
            start_s=observation.stamp_s,
            step_s=self.spec.step_s,
            epoch=observation.epoch,
            inference_s=time.perf_counter() - begin,
        )

    def close(self) -> None:
        """Let go of the link and of the server; a plan that is awaited raises."""
        self._is_closed = True
        self._drop()
        self._server.close()

    def _connect(self) -> Link:
        try:
            link = Link(self._server.locate())
        except PolicyServerError as error:
            if isinstance(error.__cause__, TimeoutError):  # it is there, and says nothing
                self._server.restart()
            raise
        try:
            self.spec, self._keys = self._expect(messages.spec_from_metadata(link.greeting))
            self.weights_sha256 = messages.weights_from_metadata(link.greeting)
        except BaseException:
            link.close()
            raise
        return link

    def _ask(self, link: Link, observation: Observation, prefix: ActionPrefix | None) -> Any:
        message = messages.observation_to_message(observation, self.spec, self._keys, prefix)
        try:
            answer = link.ask(codec.pack(message))
        except TimeoutError as error:
            self._server.restart()
            raise PolicyServerError(
                f"the policy server has not answered for {_ANSWER_WITHIN_S:g} s"
            ) from error
        if isinstance(answer, str):
            raise _refusal(answer)
        return codec.unpack(answer)

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _refusal(text: str) -> InstructionError | MessageError:
    """The error for a text frame: a traceback, whose last line says what was wrong."""
    last = text.strip().rpartition("\n")[2][:1000]
    if last.startswith(_REFUSED_INSTRUCTION):
        return InstructionError(last.removeprefix(_REFUSED_INSTRUCTION))
    _log.error("the policy server answered with an error\n%s", text)
    return MessageError(f"the policy server answered with an error: {last}")


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what connecting raises into a `PolicyServerError` with a reason."""
    where = f"the policy server at {uri}"
    try:
        yield
    except InvalidStatus as error:
        said = bytes(error.response.body or b"").decode(errors="replace").strip()[:200]
        raise PolicyServerError(
            f"{where} turns us away with status {error.response.status_code}: {said}"
        ) from error
    except (OSError, WebSocketException) as error:
        raise PolicyServerError(
            f"{where} cannot be reached: {error or type(error).__name__}"
        ) from error
