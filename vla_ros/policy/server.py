"""Serves a policy to any number of robots, by openpi's websocket protocol (see `messages.py`).

A client is greeted with the metadata; each of its observations is answered with actions, or with a
text frame that holds the traceback. What a client sends wrong, or slowly, is its own business: it
gets its error, the others notice nothing. `GET /healthz` answers `OK`.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from vla_ros.errors import MessageError, VlaError
from vla_ros.policy import codec, messages
from vla_ros.policy.batching import Batcher, InferBatch
from vla_ros.policy.prefix_message import prefix_from_message
from vla_ros.policy_protocol import PolicySpec

_log = logging.getLogger(__name__)
_MAX_ERROR_CHARACTERS = 16_000
_CLOSE_WITHIN_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How to serve.

    Attributes:
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
        api_key: What a client must say in `Authorization: Api-Key …`; `None` asks for none.
        max_batch: How many waiting observations are planned in one pass.
        max_clients: More than these are turned away: each may hold some messages in memory.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    max_batch: int = 16
    max_clients: int = 32


async def run_server(
    spec: PolicySpec,
    infer: InferBatch,
    settings: ServerSettings,
    stop: asyncio.Event,
    on_listening: Callable[[str], None] = lambda uri: None,
    weights_sha256: str = "",
) -> None:
    """Serve until `stop` is set.

    Args:
        spec: What the policy needs and gives.
        infer: Plans; called in one thread alone.
        settings: How to serve.
        stop: Ends it.
        on_listening: Called with the address, such as `ws://127.0.0.1:8000`.
        weights_sha256: Digest of the policy's weights, told to clients; empty when unknown.

    Raises:
        OSError: The address cannot be listened at.
    """
    greeting = messages.metadata(spec, weights_sha256)
    clients = _Clients(spec, Batcher(infer, settings.max_batch), greeting)
    gate = _Gate(settings, clients)
    server = await serve(
        clients.serve,
        settings.host,
        settings.port,
        process_request=gate.look_at,
        # A web page in a browser says where it is from, a robot does not: no page may command one.
        origins=[None],
        compression=None,
        max_size=codec.MAX_MESSAGE_BYTES,  # told by a frame's head, before the rest is read
        max_queue=1,
        close_timeout=_CLOSE_WITHIN_S,
        logger=_quiet_logger(),
    )
    try:
        on_listening(_uri(server))
        await stop.wait()
    finally:
        server.close()
        try:
            await asyncio.wait_for(server.wait_closed(), 2 * _CLOSE_WITHIN_S)
        except TimeoutError:  # a policy that hangs answers nobody
            clients.give_up()
            await server.wait_closed()


class _Gate:
    """Decides who may connect."""

    def __init__(self, settings: ServerSettings, clients: _Clients) -> None:
        self._settings = settings
        self._clients = clients

    def look_at(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer that ends the connection; `None` lets it through."""
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if not self._has_key(request):
            text = "a wrong API key, or none; send the header Authorization: Api-Key KEY\n"
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, text)
        if self._clients.count >= self._settings.max_clients:
            text = f"{self._clients.count} clients are connected, which is the limit\n"
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, text)
        return None

    def _has_key(self, request: Request) -> bool:
        if self._settings.api_key is None:
            return True
        said = request.headers.get_all("Authorization")
        wanted = f"Api-Key {self._settings.api_key}".encode()
        return len(said) == 1 and hmac.compare_digest(
            said[0].encode(errors="surrogateescape"), wanted
        )


class _Clients:
    """Answers the clients, each in a task of its own."""

    def __init__(self, spec: PolicySpec, batcher: Batcher, greeting: dict[str, Any]) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._spec = spec
        self._batcher = batcher
        self._greeting = codec.pack(greeting)

    @property
    def count(self) -> int:
        """How many are connected."""
        return len(self._tasks)

    def give_up(self) -> None:
        """Wait for no plan any more."""
        for task in self._tasks:
            task.cancel()

    async def serve(self, connection: ServerConnection) -> None:
        """Greet and answer one client until it goes."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        _log.info("client %s connected, %d in all", connection.remote_address, self.count)
        try:
            await connection.send(self._greeting)
            while True:
                content = await connection.recv()
                await connection.send(await self._answer(connection, content))
        except ConnectionClosed as closed:
            _log.info("client %s is gone: %s", connection.remote_address, closed)
        finally:
            self._tasks.remove(task)

    async def _answer(self, connection: ServerConnection, content: str | bytes) -> str | bytes:
        """Actions, or the text of what went wrong."""
        try:
            return codec.pack(await self._plan(content))
        except VlaError as error:  # the client's fault
            _log.debug("client %s: %s", connection.remote_address, error)
            return traceback.format_exc()[-_MAX_ERROR_CHARACTERS:]
        except Exception:  # the edge of a client: the policy may raise anything
            _log.exception("the policy raised for client %s", connection.remote_address)
            return traceback.format_exc()[-_MAX_ERROR_CHARACTERS:]

    async def _plan(self, content: str | bytes) -> dict[str, Any]:
        if isinstance(content, str):
            raise MessageError("an observation is a binary frame, got a text frame")
        message = codec.unpack(content)
        observation = messages.observation_from_message(message, self._spec)
        prefix = prefix_from_message(message, self._spec)
        chunk = await self._batcher.plan(observation, prefix)
        timing = {"infer_ms": chunk.inference_s * 1e3}
        return {messages.ACTIONS: chunk.actions, messages.TIMING: timing}


def _uri(server: Server) -> str:
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


def _quiet_logger() -> logging.Logger:
    """Handshakes that fail are a client's business; every one would be a traceback in the log."""
    logger = logging.getLogger(f"{__name__}.connections")
    logger.setLevel(logging.CRITICAL)
    return logger
