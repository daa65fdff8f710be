"""A registry on the engine's loopback that has only what is being pulled: plans come in, the engine reads them out.

The engine connects to no other registry: what it gets was looked at here, and has come over checked connections. A
plan is served under a name that nobody can guess, while its pull lasts.
"""

import http.server
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpcore

from chalicelib.contract.kept_names import TEMPORARY
from infra.hostagent.registry.client import RegistryClient, Session
from infra.hostagent.registry.errors import ImageFault, TooLarge, Unanswered
from infra.hostagent.registry.inflate import Budget, Inflation
from infra.hostagent.registry.manifests import PACKINGS, Checked, Descriptor
from infra.hostagent.registry.network import Network

log = logging.getLogger("berth.agent.gate")

LOOPBACK = "127.0.0.1"
TAG = "passing"
"""Names with tags are in an engine's list of images, so that what a killed agent leaves is found (`leftovers`)."""

_TLS_RECORD = b"\x16"


@dataclass(slots=True)
class Plan:
    """One image that may be pulled, and what has gone wrong with it meanwhile."""

    session: Session
    checked: Checked
    budget: Budget
    room: Callable[[], None]
    """Raises DiskFull when the host has no room for more."""
    failed: Callable[[], None] = lambda: None
    """Called when a fault was found, so that the engine is not left waiting."""
    fault: ImageFault | None = None
    name: str = field(default_factory=lambda: f"{TEMPORARY}{secrets.token_hex(16)}")

    def part(self, digest: str) -> Descriptor | None:
        """The part of the image with this digest."""
        manifest = self.checked.manifest
        return next((each for each in (manifest.config, *manifest.layers) if each.digest == digest), None)

    def fail(self, fault: ImageFault) -> None:
        """Note what is wrong, the first time."""
        if self.fault is None:
            self.fault = fault
            self.failed()


class Gate:
    """The server, in the engine's network namespace; one for an agent."""

    def __init__(self, client: RegistryClient, network: Network) -> None:
        self._client = client
        self.network = network
        self._plans: dict[str, Plan] = {}
        listener = network.run(lambda: socket.create_server((LOOPBACK, 0)))
        self.address = f"{LOOPBACK}:{listener.getsockname()[1]}"
        self._server = _Server(listener, self._handle)
        threading.Thread(target=self._server.serve_forever, daemon=True, name="gate").start()

    def close(self) -> None:
        """Serve nothing more."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def serving(self, plan: Plan) -> Iterator[str]:
        """What the engine is to pull, for as long as this lasts."""
        self._plans[plan.name] = plan
        try:
            yield f"{self.address}/{plan.name}:{TAG}"
        finally:
            del self._plans[plan.name]

    def _handle(self, request: "_Request") -> None:
        if request.path.rstrip("/") == "/v2":
            request.whole(b"{}", "application/json")
            return
        _, _, name, kind, wanted = (*request.path.split("/"), *[""] * 5)[:5]
        plan = self._plans.get(name)
        if plan is None or plan.fault is not None:
            request.send_error(404)
        elif kind == "manifests" and wanted in (TAG, plan.checked.digest):
            request.whole(plan.checked.body, plan.checked.media_type, plan.checked.digest)
        elif kind == "blobs" and (part := plan.part(wanted)) is not None:
            self._blob(request, plan, part)
        else:
            request.send_error(404)

    def _blob(self, request: "_Request", plan: Plan, part: Descriptor) -> None:
        """A part as it comes, counted; an engine that has been cut off has nothing to unpack."""
        if request.command == "HEAD":
            request.head(part.size, "application/octet-stream", part.digest)
            return
        try:
            with self._client.blob(plan.session, part.digest) as chunks:
                request.head(part.size, "application/octet-stream", part.digest)
                for chunk in _counted(plan, part, chunks):
                    request.wfile.write(chunk)
        except ImageFault as fault:
            plan.fail(fault)
            request.close_connection = True
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
            plan.fail(Unanswered())
            request.close_connection = True


def _counted(plan: Plan, part: Descriptor, chunks: Iterator[bytes]) -> Iterator[bytes]:
    passed = 0
    layer = part.digest != plan.checked.manifest.config.digest
    inflation = Inflation(plan.budget, PACKINGS[part.media_type]) if layer else None
    for chunk in chunks:
        passed += len(chunk)
        if passed > part.size:
            raise TooLarge("its registry sends more than it said")
        if inflation is not None:
            inflation.pass_by(chunk)
            plan.room()
        yield chunk
    if passed < part.size:
        raise Unanswered


class _Server(http.server.ThreadingHTTPServer):
    """A server on a socket that is there already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handle: Callable[["_Request"], None]) -> None:
        super().__init__(listener.getsockname()[:2], _Request, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.handle_request_of = handle

    def handle_error(self, *_: object) -> None:
        """Engines that hang up are nothing to write of."""
        log.debug("connection of the engine ended")


class _Request(http.server.BaseHTTPRequestHandler):
    """One request of the engine."""

    protocol_version = "HTTP/1.1"
    timeout = 120.0
    server: _Server

    def handle(self) -> None:
        """Engines try TLS first, even here: an answer in the open sends them on at once."""
        if self.request.recv(1, socket.MSG_PEEK) == _TLS_RECORD:
            self.request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            return
        super().handle()

    def do_GET(self) -> None:
        self.server.handle_request_of(self)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def head(self, length: int, kind: str, digest: str = "") -> None:
        """The head of a 200."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def whole(self, body: bytes, kind: str, digest: str = "") -> None:
        """A 200 with this body."""
        self.head(len(body), kind, digest)
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """What is asked for is in the engine's log, if anywhere."""
