"""An agent and an API outside an emulated machine, for a relay on it: frames come back, calls are remembered."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Request, ServerConnection, serve


@dataclass
class Outside:
    """Ports on loopback, and the paths that the agent was asked for."""

    port: int = 0
    api_port: int = 0
    asked: list[str] = field(default_factory=list)

    def note(self, _line: ServerConnection, request: Request) -> None:
        self.asked.append(request.path)

    def echo(self, line: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for frame in line:
                line.send(frame)


@contextlib.contextmanager
def outside_agent() -> Iterator[Outside]:
    """It takes every terminal; the API beside it has everybody's access as it was."""
    outside = Outside()
    with (
        serve(outside.echo, "127.0.0.1", 0, process_request=outside.note) as agent,
        ThreadingHTTPServer(("127.0.0.1", 0), _Api) as api,
    ):
        outside.port, outside.api_port = agent.socket.getsockname()[1], api.server_port
        threads = [threading.Thread(target=each.serve_forever, daemon=True) for each in (agent, api)]
        for thread in threads:
            thread.start()
        yield outside
        agent.shutdown()
        api.shutdown()


class _Api(BaseHTTPRequestHandler):
    """Nobody has lost access."""

    def do_GET(self) -> None:
        body = b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the names are the server's

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""
